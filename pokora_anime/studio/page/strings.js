// The words of the page in the reader's language, and numbers as that language writes them.

import { recall } from "./state.js";

export const LANGUAGES = { en: "English", ko: "한국어", ja: "日本語" };

let words = {};
let language = "en";

/** The language in use. */
export const lang = () => language;

/** The language to begin with: the one chosen here, else the browser's, else English. */
export function preferred() {
  const wanted = [recall("language"), ...(navigator.languages ?? [])].map((one) => String(one ?? "").slice(0, 2));
  return wanted.find((one) => one in LANGUAGES) ?? "en";
}

/** Loads a language; what it lacks is said in English. */
export async function speak(code) {
  const [english, own] = await Promise.all([strings("en"), code === "en" ? {} : strings(code)]);
  words = { ...english, ...own };
  language = code;
  document.documentElement.lang = code;
}

async function strings(code) {
  const answer = await fetch(`/page/strings/${code}.json`);
  return answer.ok ? answer.json() : {};
}

/** The words of a key, each {name} replaced by its value. */
export function t(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Whether a key has words. */
export const has = (key) => key in words;

/** Words of a key, where there are any; else the value as it stands. */
export const named = (prefix, value) => (has(`${prefix}.${value}`) ? t(`${prefix}.${value}`) : String(value ?? ""));

export const number = (value, digits = 2) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

/** A size in bytes. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${number(value / 1000 ** power, power > 2 ? 1 : 0)} ${units[power]}`;
}

/** A length of time in the two units that matter. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (seconds < 10) return t("time.s", { s: number(seconds, 1) });
  if (whole < 60) return t("time.s", { s: whole });
  if (whole < 3600) return t("time.ms", { m: Math.floor(whole / 60), s: whole % 60 });
  return t("time.hm", { h: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}

/** How long ago a moment (unix seconds) was. */
export function ago(when) {
  if (!when) return "";
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const past = when - Date.now() / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(past) >= size) return format.format(Math.round(past / size), unit);
  }
  return format.format(Math.round(past), "second");
}

/** A moment as a date and time. */
export const date = (when) => (when ? new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(when * 1000) : "–");

/** A judgement in the server's words as one of PASS, REVIEW and BLOCK; others as they stand. */
export function verdictOf(text) {
  const low = String(text ?? "").toLowerCase();
  if (/review/.test(low)) return "REVIEW";
  if (/^(not\b|block|fail|invalid|refus|bad|in?eligible\b)/.test(low) && low !== "eligible") return "BLOCK";
  if (/^(pass|eligible|allowed|ok|valid|good|holds)/.test(low)) return "PASS";
  return text ?? "";
}
