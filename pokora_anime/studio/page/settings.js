// Every setting of a command, found by its words, each with its law and help.

import { button, debounced, h, put, select } from "./dom.js";
import { t } from "./strings.js";
import { keysOf } from "./words.js";

const SHOWN = 40;

/** The search: `draft.values` is read and written, `changed` is told. Returns {element, show}. */
export function settingSearch({ schema, draft, changed }) {
  const rows = h("div", { class: "settings", role: "list" });
  const count = h("span", { class: "hint", "aria-live": "polite" });
  const query = h("input", { type: "search", placeholder: t("settings.search"), "aria-label": t("settings.search"), autocomplete: "off" });
  const only = h("input", { type: "checkbox" });
  const show = () => {
    const all = (schema.settings[keysOf(draft.command)] ?? []).filter((one) => !/[[{]/.test(one.key) && one.key !== "shots");
    const wanted = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter((one) => {
      const text = `${one.key} ${one.help} ${(one.members ?? []).join(" ")}`.toLowerCase();
      return wanted.every((word) => text.includes(word)) && (!only.checked || isSet(draft, one.key));
    });
    found.sort((one, other) => Number(isSet(draft, other.key)) - Number(isSet(draft, one.key)));
    const known = new Set([...all.map((one) => one.key), ...Object.keys(schema.groups)]);
    const strange = Object.keys(draft.values).filter((key) => !known.has(key) && isSet(draft, key) && (!wanted.length || wanted.every((word) => key.includes(word))));
    put(rows, strange.map((key) => row({ key, help: t("settings.strange"), accepted: "" })), found.slice(0, SHOWN).map(row));
    count.textContent = t("settings.count", { n: Math.min(found.length, SHOWN), all: found.length });
  };
  const row = (one) => {
    const set = (value) => {
      draft.values[one.key] = value;
      line.classList.toggle("set", isSet(draft, one.key));
      changed(one.key);
    };
    const control = settingControl(one, draft.values[one.key] ?? "", set);
    control.setAttribute("aria-label", one.key);
    const reset = button(t("settings.reset", { key: one.key }), () => { set(""); show(); query.focus(); }, { sign: "close", bare: true, kind: "small" });
    const line = h("div", { class: ["setting", isSet(draft, one.key) && "set"], role: "listitem" },
      h("div", {}, h("code", { text: one.key }), h("p", { class: "hint" }, one.help, one.accepted ? h("span", { class: "law", text: ` ${one.accepted}` }) : null)),
      control, reset);
    return line;
  };
  query.addEventListener("input", debounced(show, 120));
  only.addEventListener("change", show);
  show();
  const element = h("div", {}, h("div", { class: "row search" }, query, h("label", { class: "tick" }, only, h("span", { text: t("settings.set") })), count), rows);
  return { element, show };
}

const isSet = (draft, key) => draft.values[key] !== undefined && draft.values[key] !== "";

/** The control that fits a setting's law; an empty value is the default. */
export function settingControl(one, value, change, props = {}) {
  const usual = plain(one.default);
  const type = String(one.type ?? "");
  const members = one.members?.length && !/\[/.test(type) ? one.members : /true\|false|bool/.test(type) ? ["true", "false"] : [];
  if (members.length) {
    return select([["", usual ? t("settings.default", { value: usual }) : "–"], ...members.map((word) => [word, word])], String(value), change, props);
  }
  const numeric = one.low !== null && one.low !== undefined && !/\[|by name/.test(type);
  const input = h("input", {
    ...props, type: numeric && one.key !== "seed" ? "number" : "text", value: String(value), placeholder: usual, autocomplete: "off", spellcheck: "false",
    min: numeric ? one.low : null, max: numeric ? one.high : null, step: numeric ? one.multiple || (/whole|int/.test(type) ? 1 : "any") : null,
    on: { input: () => change(input.value.trim()) },
  });
  return input;
}

/** A default as it is typed; "" where a base or group gives it. */
export function plain(value) {
  if (value === null || value === undefined || value === "???") return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
