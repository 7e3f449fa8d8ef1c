// The one way to the server: JSON calls, problems as errors, streams that reconnect.

import { tell } from "./state.js";

/** What the server, or the way to it, had to say against a call. */
export class Problem extends Error {
  constructor({ status = 0, code = "", title = "", detail = "", expected = "", fix = "", retryAfter = 0 }) {
    super(detail || title || code);
    Object.assign(this, { status, code, title, detail: detail || title, expected, fix, retryAfter });
  }
}

let connected = true;
let asking = 0;

/** Whether the last call reached the server. */
export const online = () => connected;

function reached(now) {
  if (connected !== now) {
    connected = now;
    tell("connection", now);
  }
  if (!now && !asking) asking = setInterval(ask, 2000);
  if (now && asking) asking = clearInterval(asking) ?? 0;
}

async function ask() {
  try {
    const answer = await fetch("/health", { cache: "no-store" });
    if (answer.status < 500) reached(true);
  } catch {
    // Still away; asked again in two seconds.
  }
}

/** One call. Returns the JSON of the answer (null for none). Raises Problem, or AbortError. */
export async function call(method, path, body, { signal, headers = {} } = {}) {
  const options = { method, signal, headers: { Accept: "application/json", ...headers }, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reached(false);
    throw new Problem({ code: "NET", title: "network" });
  }
  reached(true);
  if (answer.status === 204) return null;
  const text = await answer.text();
  const value = parsed(text);
  if (answer.ok) return value;
  if (answer.status === 401) tell("signin");
  throw new Problem({
    title: answer.statusText || String(answer.status),
    ...(value && typeof value === "object" ? value : {}),
    status: answer.status,
    retryAfter: Number(answer.headers.get("Retry-After")) || 0,
  });
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body = {}, options) => call("POST", path, body, options);

/**
 * A stream of server-sent events: `on` maps names to functions of their JSON. Returns what closes it.
 * A tab that nobody sees holds none: a browser opens six connections to a server, for all of its tabs.
 */
export function stream(path, on) {
  let source = null;
  let timer = 0;
  let wait = 1000;
  let closed = false;
  const close = () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
    document.removeEventListener("visibilitychange", seen);
  };
  const seen = () => {
    clearTimeout(timer);
    source?.close();
    if (!document.hidden) open();
  };
  const open = () => {
    source = new EventSource(path);
    source.addEventListener("open", () => {
      wait = 1000;
      reached(true);
    });
    source.addEventListener("error", () => {
      if (closed) return;
      if (source.readyState === EventSource.CLOSED) {
        timer = setTimeout(open, wait);
        wait = Math.min(wait * 2, 15000);
      }
      // Whether the server or this stream is away: a call tells, with its status.
      void get("/api/runs?limit=1").catch(() => null);
    });
    for (const [name, run] of Object.entries(on)) {
      source.addEventListener(name, (event) => {
        if (!closed) run(parsed(event.data) ?? {});
      });
    }
    source.addEventListener("end", close);
  };
  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) open();
  return close;
}

let schema = null;

/** The schema: asked for once. */
export function getSchema() {
  schema ??= get("/api/schema").catch((error) => {
    schema = null;
    throw error;
  });
  return schema;
}

/** A key by which the server knows a repeated request. */
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}

export const enc = encodeURIComponent;
