"""Reading from a collector, in notebooks and scripts: `everyspan.Client`. Talks to the JSON API and nothing else."""
