// The form's state and the words that it amounts to: the same key=value words that a shell takes.

/** An empty form. */
export const blank = () => ({ command: "video", values: {}, shots: [], at: 0, loras: [], sweep: [], from: null });

export const COMMANDS = ["video", "stills", "sweep"];
const EVERYWHERE = ["experiment", "negative", "contest"];

/** The command whose keys count: a sweep has those of a video. */
export const keysOf = (command) => (command === "stills" ? "stills" : "video");

/** Whether a command has a key or group. */
export function hasKey(schema, command, key) {
  const settings = schema.settings[keysOf(command)] ?? [];
  if (key in schema.groups) {
    if (key === "sweep") return command === "sweep";
    return EVERYWHERE.includes(key) || settings.some((one) => one.key.startsWith(`${key}.`));
  }
  const known = (schema.settings.video ?? []).concat(schema.settings.stills ?? []).some((one) => one.key === key);
  return known ? settings.some((one) => one.key === key) : true;
}

/** {words, unused}: what the form says, and which of its keys this command does not have. */
export function wordsOf(draft, schema) {
  const words = [];
  const unused = [];
  const several = draft.shots.length > 0 && draft.command !== "stills";
  const swept = draft.command === "sweep" ? Object.fromEntries(draft.sweep.filter((row) => row.key && row.values.trim()).map((row) => [row.key, row.values.trim()])) : {};
  const values = { ...draft.values, ...swept };
  if (several) delete values["shot.prompt"], delete values["shot.seconds"];
  for (const [key, value] of Object.entries(values)) {
    if (value === "" || value === null || value === undefined) continue;
    if (!hasKey(schema, draft.command, key)) unused.push(key);
    else words.push(`${key}=${key.startsWith("shot.") ? oneLine(value) : value}`);
  }
  if (several) words.push(shotsWord(draft.shots));
  else if (draft.shots.length) unused.push("shots");
  const loras = draft.loras.filter((one) => one.id);
  if (loras.length) words.push(`style.loras=[${loras.map((one) => `{id:${bare(one.id)},weight:${one.weight}}`).join(",")}]`);
  return { words, unused };
}

const oneLine = (text) => String(text).replace(/\s*\n\s*/g, " ").trim();
const bare = (text) => (/^[\w-]+$/.test(text) ? text : quote(text));

/** A string as Hydra's quoted value, which comes back as the very same text; without backslashes where that goes. */
export function quote(text) {
  if (text.includes("'") && !/["\\$]/.test(text)) return `"${text}"`;
  const literal = text.replace(/(\\*)\$\{/g, (_, signs) => `${signs}${signs}\\\${`);
  const escaped = literal.replace(/(\\*)'/g, (_, signs) => `${signs}${signs}\\'`);
  return `'${escaped.replace(/(\\+)$/, (signs) => signs + signs)}'`;
}

/** A list of shots as one word. */
export function shotsWord(shots) {
  const entries = shots.map((shot) => {
    const parts = [`prompt:${quote(oneLine(shot.prompt))}`, `seconds:${shot.seconds || 3}`];
    if (shot.camera && shot.camera !== "free") parts.push(`camera:${shot.camera}`);
    if (shot.seed !== "" && shot.seed !== null && shot.seed !== undefined) parts.push(`seed:${shot.seed}`);
    if (shot.joined) parts.push("joined:true");
    return `{${parts.join(",")}}`;
  });
  return `shots=[${entries.join(",")}]`;
}

/** A form from a run's words; what the form has no field for stays a word of "all settings". */
export function draftFrom(command, words, from = null) {
  const draft = { ...blank(), command: COMMANDS.includes(command) ? command : "video", from };
  for (const word of words ?? []) {
    const at = word.indexOf("=");
    if (at < 0) continue;
    const key = word.slice(0, at).replace(/^\+{1,2}/, "");
    const value = word.slice(at + 1);
    const records = key === "shots" || key === "style.loras" ? readRecords(value) : null;
    if (records && key === "shots") draft.shots = records.map((one) => ({ prompt: "", seconds: 3, camera: "free", seed: "", ...one, joined: one.joined === "true" || one.joined === true }));
    else if (records) draft.loras = records.map((one) => ({ id: one.id ?? "", weight: Number(one.weight ?? 1) }));
    else draft.values[key] = value;
  }
  return draft;
}

/** A Hydra list of flat records: [{a:1,b:'x'}]; null where it is none. */
export function readRecords(text) {
  const records = [];
  let at = 0;
  const space = () => { while (/\s/.test(text[at] ?? "")) at += 1; };
  const eat = (sign) => { space(); if (text[at] !== sign) return false; at += 1; space(); return true; };
  const value = () => {
    const mark = text[at];
    if (mark !== "'" && mark !== '"') {
      const found = /^[^,}\]]*/.exec(text.slice(at))[0];
      at += found.length;
      return found.trim();
    }
    let read = "";
    for (at += 1; at < text.length && text[at] !== mark; at += 1) {
      const slashes = /^\\+/.exec(text.slice(at))?.[0].length ?? 0;
      const next = text[at + slashes];
      if (slashes && (next === mark || text.startsWith("${", at + slashes))) {
        read += "\\".repeat((slashes - 1) / 2) + next;
        at += slashes;
      } else read += text[at];
    }
    at += 1;
    return read;
  };
  if (!eat("[")) return null;
  while (!eat("]")) {
    if (!eat("{")) return null;
    const record = {};
    while (!eat("}")) {
      const key = /^\s*(\w+)\s*:\s*/.exec(text.slice(at));
      if (!key) return null;
      at += key[0].length;
      record[key[1]] = value();
      if (!eat(",") && text[at] !== "}") return null;
    }
    records.push(record);
    if (!eat(",") && text[at] !== "]") return null;
  }
  return at >= text.trimEnd().length ? records : null;
}

/** The words as a shell takes them. */
export function commandLine(command, words, from = null) {
  const origin = from ? [`--from ${shellWord(`${from.path ?? from.run}#${from.still}`)}`] : [];
  return ["pokora", command, ...origin, ...words.map(shellWord)].join(" ");
}

function shellWord(word) {
  if (/^[\w.,:=+/@%-]+$/.test(word)) return word;
  const at = word.indexOf("=");
  const [key, value] = at > 0 && /^[\w.+-]+$/.test(word.slice(0, at)) ? [word.slice(0, at + 1), word.slice(at + 1)] : ["", word];
  return `${key}'${value.replaceAll("'", "'\\''")}'`;
}

/** The parts of a prompt between its commas, trimmed: [{text, start, end}]. */
export function partsOf(prompt) {
  const parts = [];
  let start = 0;
  for (const piece of prompt.split(",")) {
    const text = piece.trim();
    if (text) {
      const begin = start + piece.indexOf(text);
      parts.push({ text, start: begin, end: begin + text.length });
    }
    start += piece.length + 1;
  }
  return parts;
}

/** The word of a kind that a prompt names, if any. */
export function wordOf(kind, prompt) {
  const said = partsOf(prompt).map((part) => part.text.toLowerCase());
  return kind.words.find((one) => said.some((text) => text === one.word || (one.also ?? []).includes(text)))?.word ?? "";
}

/** The prompt with another word of a kind; "" takes it out. Words of a kind exclude each other. */
export function withWord(kind, prompt, word) {
  const names = new Set(kind.words.flatMap((one) => [one.word, ...(one.also ?? [])]));
  let placed = word === "";
  const texts = [];
  for (const part of partsOf(prompt)) {
    if (!names.has(part.text.toLowerCase())) texts.push(part.text);
    else if (!placed) {
      texts.push(word);
      placed = true;
    }
  }
  if (!placed) texts.push(word);
  return texts.join(", ");
}
