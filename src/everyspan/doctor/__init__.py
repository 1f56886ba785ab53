"""Is this program recorded as it should be? What there is to look at, without the server and without click.

`examine` looks at what can be seen from outside: settings, packages, destinations, the spool. `program.look` looks at a
program from inside, while its providers, hooks and counters exist; `inside` runs a script for that.
"""
