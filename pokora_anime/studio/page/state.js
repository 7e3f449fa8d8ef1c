// What this browser remembers, and what the parts of the page tell each other.

const PREFIX = "pokora.";

/** What was kept under a name, or the fallback. */
export function recall(name, fallback = null) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/** Keeps a value under a name; a browser that keeps nothing is no error. */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Private windows and full storage: the page works without.
  }
}

const bus = new EventTarget();

/** Tells whoever listens. */
export function tell(name, detail = null) {
  bus.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Listens; returns what ends it. */
export function listen(name, run) {
  const heard = (event) => run(event.detail);
  bus.addEventListener(name, heard);
  return () => bus.removeEventListener(name, heard);
}
