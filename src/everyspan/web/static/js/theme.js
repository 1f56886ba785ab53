// Before the first paint, so that nothing flashes. A choice of light or dark beats the system's.
try {
  const chosen = localStorage.getItem("everyspan.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  document.documentElement.dataset.theme = ""; // storage is switched off: the system decides
}
