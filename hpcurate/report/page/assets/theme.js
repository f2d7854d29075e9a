// Before anything is drawn: the theme that was chosen here last.
try {
  const theme = localStorage.getItem("hpcurate-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch (error) { /* no storage for local files in this browser: the system's theme */ }
