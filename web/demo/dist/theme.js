// The theme that was chosen here before, set before anything is painted. A file of its own, because the page allows no
// script inside it. What it stores is written by src/hooks/use_theme.ts.
try {
  const theme = localStorage.getItem("parlour-demo-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is off: the system's theme it is.
}
