// The prompt: a text field that marks what is not known, and the known words as a character sheet.

import { h, icon, put } from "./dom.js";
import { has, t } from "./strings.js";
import { wordOf, withWord } from "./words.js";

const COLORS = ["black", "brown", "blonde", "blue", "pink", "green", "silver", "red", "purple", "gold", "white", "yellow"];

/** The editor: `read` and `write` reach the text; returns {element, show, judge}. */
export function promptEditor({ vocabulary, read, write, placeholder }) {
  const id = "prompt";
  const marks = h("div", { class: "prompt-marks", "aria-hidden": "true" });
  const note = h("p", { class: "prompt-note", id: "prompt-note", "aria-live": "polite" });
  const text = h("textarea", {
    id, rows: 3, maxlength: 4000, spellcheck: "false", autocomplete: "off", "aria-labelledby": "prompt-title", "aria-describedby": "prompt-note", placeholder,
    on: { input: () => { write(text.value); draw(); }, scroll: () => { marks.scrollTop = text.scrollTop; } },
  });
  const drawn = h("p", { class: "hint", hidden: true });
  let unknown = [];

  const sheet = vocabulary.length ? wordSheet(vocabulary, () => text.value, (value) => {
    text.value = value;
    write(value);
    draw();
  }) : null;

  const draw = () => {
    text.parentElement.dataset.grow = text.value;
    put(marks, marked(text.value, unknown));
    sheet?.show();
  };
  const judge = (parts, chosen = "") => {
    drawn.textContent = chosen ? t("prompt.chosen", { words: chosen }) : "";
    drawn.hidden = !chosen;
    unknown = (parts ?? []).filter((part) => !part.known).map((part) => part.text);
    const near = (parts ?? []).filter((part) => !part.known && part.near);
    put(note, unknown.length ? [icon("warn"), h("span", { text: t("prompt.unknown", { words: unknown.join(", ") }) }),
      near.map((part) => h("button", { type: "button", class: "chip", text: t("prompt.near", { word: part.near }), title: part.text, on: { click: () => swap(part.text, part.near) } }))] : null);
    put(marks, marked(text.value, unknown));
  };
  const swap = (old, word) => {
    const at = text.value.toLowerCase().indexOf(old.toLowerCase());
    if (at < 0) return;
    text.value = text.value.slice(0, at) + word + text.value.slice(at + old.length);
    write(text.value);
    draw();
    text.focus();
  };
  const show = () => {
    text.value = read();
    draw();
  };
  const element = h("div", { class: "prompt" },
    h("div", { class: "grow" }, marks, text), note, sheet?.element, drawn);
  return { element, text, show, judge };
}

/** The text in pieces, those that are not known in marks. */
export function marked(text, unknown) {
  const low = text.toLowerCase();
  const ranges = [];
  for (const word of new Set(unknown.map((one) => one.toLowerCase()))) {
    for (let at = low.indexOf(word); word && at >= 0; at = low.indexOf(word, at + word.length)) {
      const whole = !/\w/.test(low[at - 1] ?? " ") && !/\w/.test(low[at + word.length] ?? " ");
      if (whole) ranges.push([at, at + word.length]);
    }
  }
  ranges.sort((one, other) => one[0] - other[0]);
  const pieces = [];
  let end = 0;
  for (const [from, to] of ranges) {
    if (from < end) continue;
    pieces.push(text.slice(end, from), h("mark", { text: text.slice(from, to) }));
    end = to;
  }
  return [...pieces, text.slice(end), "\n"];
}

/** The kinds of known words as slots; a slot opens its words. */
function wordSheet(vocabulary, read, write) {
  let open = -1;
  const slots = vocabulary.map((kind, index) => {
    const word = h("b");
    const slot = h("button", { type: "button", class: "slot", "aria-expanded": "false", "aria-controls": "words", on: { click: () => {
      open = open === index ? -1 : index;
      show();
    } } }, h("small", { text: kindName(kind) }), word);
    return { slot, word };
  });
  const chips = h("div", { class: "chips", id: "words", role: "group" });
  const show = () => {
    const prompt = read();
    vocabulary.forEach((kind, index) => {
      const said = wordOf(kind, prompt);
      const { slot, word } = slots[index];
      put(word, said ? [swatch(said), said] : t("prompt.open"));
      slot.classList.toggle("said", Boolean(said));
      slot.setAttribute("aria-expanded", String(index === open));
    });
    if (open < 0) return put(chips);
    const kind = vocabulary[open];
    const said = wordOf(kind, prompt);
    chips.setAttribute("aria-label", kindName(kind));
    const focused = chips.contains(document.activeElement) ? document.activeElement.dataset.word : null;
    put(chips, kind.words.map((one) => chip(one, one.word === said, () => write(withWord(kind, read(), one.word === said ? "" : one.word)))));
    if (focused !== null) [...chips.children].find((one) => one.dataset.word === focused)?.focus();
  };
  return { element: h("div", { class: "sheet" }, h("div", { class: "slots" }, slots.map((one) => one.slot)), chips), show };
}

function kindName({ kind }) {
  const key = `kind.${kind.replace("colour", "color").replaceAll(" ", "_")}`;
  return has(key) ? t(key) : kind;
}

function chip(one, pressed, run) {
  return h("button", {
    type: "button", class: "chip", "aria-pressed": String(pressed), data: { word: one.word }, on: { click: run },
    title: one.also?.length ? t("prompt.also", { words: one.also.join(", ") }) : null,
  }, swatch(one.word), one.word);
}

function swatch(word) {
  const color = COLORS.find((one) => word.startsWith(`${one} `) && /hair|eyes|clothes/.test(word));
  return color ? h("i", { class: `swatch sw-${color}`, "aria-hidden": "true" }) : null;
}
