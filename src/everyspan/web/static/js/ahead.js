// Asks for the trace while the page's modules are still on their way: a large one is there sooner by what they take.
{
  const id = location.pathname.match(/^\/traces\/([^/]+)$/)?.[1];
  const project = new URLSearchParams(location.search).get("project");
  if (id) {
    const address = `/api/v1/traces/${id}/skeleton${project ? `?${new URLSearchParams({ project })}` : ""}`;
    // The answer, or why there is none: whoever asks throws it then.
    const answer = fetch(address, { headers: { accept: "application/json" } }).catch((failure) => failure);
    globalThis.everyspanAhead = { address, answer };
  }
}
