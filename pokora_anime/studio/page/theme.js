// Before the first paint: the theme that was chosen here, if any.
(() => {
  try {
    const theme = JSON.parse(localStorage.getItem("pokora.theme"));
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage that is closed or garbled: the system's theme.
  }
})();
