// The frames of a live session: read from one answer that does not end, drawn one after the other.

import { tell } from "./state.js";

/**
 * Draws what comes on a canvas; `told` gets the session as it is, `over` is called at the end. Returns what ends
 * it. A part is a length of four bytes, as much JSON, and as many bytes of JPEG as that says. What was drawn is
 * told by the event `live-frame`: number, words, and milliseconds since the frame before.
 */
export function frameStream(canvas, { told, over }) {
  const stopped = new AbortController();
  void read(canvas, told, stopped.signal).catch(() => null).finally(over);
  return () => stopped.abort();
}

async function read(canvas, told, signal) {
  const answer = await fetch("/api/live/frames", { signal, credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) return;
  const reader = answer.body.getReader();
  const draw = drawer(canvas);
  let rest = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest = joined(rest, value);
    for (let part = taken(rest); part; part = taken(rest)) {
      rest = rest.subarray(part.end);
      if (part.data.length) draw(part.about, part.data);
      else told(part.about);
    }
  }
}

function joined(one, other) {
  const all = new Uint8Array(one.length + other.length);
  all.set(one);
  all.set(other, one.length);
  return all;
}

/** The first whole part of what has come, or null. */
function taken(bytes) {
  if (bytes.length < 4) return null;
  const size = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
  if (bytes.length < 4 + size) return null;
  const about = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  const end = 4 + size + (about.bytes ?? 0);
  return bytes.length < end ? null : { about, data: bytes.subarray(4 + size, end), end };
}

/** Draws frames; one that comes while another is decoded takes the place of what waits. */
function drawer(canvas) {
  const context = canvas.getContext("2d");
  let waiting = null;
  let busy = false;
  let last = 0;
  return async (about, data) => {
    waiting = [about, new Blob([data], { type: "image/jpeg" })];
    if (busy) return;
    busy = true;
    while (waiting) {
      const [now, blob] = waiting;
      waiting = null;
      try {
        const picture = await createImageBitmap(blob);
        if (canvas.width !== picture.width || canvas.height !== picture.height) {
          canvas.width = picture.width;
          canvas.height = picture.height;
        }
        context.drawImage(picture, 0, 0);
        picture.close();
        const at = performance.now();
        tell("live-frame", { ...now, gap: last ? at - last : 0 });
        last = at;
      } catch {
        // A frame that cannot be drawn is followed by the next.
      }
    }
    busy = false;
  };
}
