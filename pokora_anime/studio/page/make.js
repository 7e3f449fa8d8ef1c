// Make: a prompt and what is chosen beside it become a clip, stills or a sweep.

import { enc, get, getSchema } from "./api.js";
import { complain, go } from "./problems.js";
import { button, field, h, icon, linkButton, put, select } from "./dom.js";
import { judgePanel } from "./judge.js";
import { promptEditor } from "./prompt.js";
import { settingControl, settingSearch, plain } from "./settings.js";
import { shotEditor } from "./shots.js";
import { keep, recall } from "./state.js";
import { t } from "./strings.js";
import { COMMANDS, blank, draftFrom, hasKey, keysOf } from "./words.js";

const SIZES = [[512, 512], [768, 768], [1024, 1024], [1024, 576], [576, 1024]];
const FEW = 4;
const MOST_DRAWN = 1_000_000;

/** Shows the form; returns what ends it. */
export async function mount(root, { query }) {
  const schema = await getSchema();
  const draft = await draftOf(query);
  let view = form(root, schema, draft, () => rebuild());
  const rebuild = (focus = "") => {
    view.stop();
    view = form(root, schema, draft, rebuild);
    if (focus) root.querySelector(focus)?.focus();
  };
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      view.submit();
    }
  };
  document.addEventListener("keydown", keys);
  return () => {
    document.removeEventListener("keydown", keys);
    view.stop();
  };
}

/** The kept form, or that of a run that is made again or whose still is animated. */
async function draftOf(query) {
  const [again, still] = [query.get("again"), query.get("still")];
  if (again || still) {
    history.replaceState(null, "", "/");
    const run = await get(`/api/gallery/${enc(again ?? still)}`);
    const from = still ? { run: run.id, path: run.path, still: Number(query.get("n")) || 1, poster: run.stills?.[(Number(query.get("n")) || 1) - 1] ?? run.poster } : null;
    const draft = still ? { ...blank(), from } : draftFrom(run.sweep && !COMMANDS.includes(run.command) ? "video" : run.command, run.words);
    keep("draft", draft);
    return draft;
  }
  return { ...blank(), ...recall("draft", {}) };
}

function form(root, schema, draft, rebuild) {
  const settings = Object.fromEntries((schema.settings[keysOf(draft.command)] ?? []).map((one) => [one.key, one]));
  const has = (key) => hasKey(schema, draft.command, key) && (key in settings || key in schema.groups);
  const several = () => draft.shots.length > 0 && draft.command !== "stills";
  const changed = () => {
    keep("draft", draft);
    judge.update();
  };
  const set = (key, value) => {
    draft.values[key] = value;
    changed();
  };
  const judge = judgePanel({
    draft, schema,
    apply: (key, value) => { set(key, value); rebuild(); },
    parts: (parts, chosen) => prompt.judge(parts, chosen),
    started: (job) => go(`/watch/${enc(job.id)}`),
  });
  const prompt = promptEditor({
    vocabulary: schema.vocabulary ?? [],
    placeholder: draft.from ? t("make.as_still") : t("make.placeholder", { example: schema.examples?.[0] ?? "1girl, silver hair, kimono, night sky" }),
    read: () => (several() ? draft.shots[draft.at]?.prompt : draft.values["shot.prompt"]) ?? "",
    write: (text) => {
      if (several()) draft.shots[draft.at].prompt = text;
      else draft.values["shot.prompt"] = text;
      shots?.words();
      changed();
    },
  });
  const heading = h("h2", { id: "prompt-title" });
  const title = () => { heading.textContent = several() ? t("prompt.shot", { n: draft.at + 1 }) : t("prompt.title"); };
  const shots = draft.command === "stills" ? null : shotEditor({
    draft, cameras: settings["motion.camera"]?.members ?? ["free"],
    changed: (other) => { if (other) { prompt.show(); title(); } changed(); },
  });
  const searching = settingSearch({ schema, draft, changed });
  const controls = { schema, settings, draft, has, set, changed, rebuild };

  put(root, h("div", { class: "make" },
    h("div", { class: "make-main" },
      h("h1", { class: "unseen", text: t("tab.make") }),
      head(controls),
      draft.from ? origin(draft, rebuild, changed) : null,
      h("section", { class: "card" },
        h("div", { class: "head" }, heading, examples(schema, prompt)),
        prompt.element, negative(controls)),
      shots ? h("section", { class: "card" }, shots.element) : null,
      draft.command === "sweep" ? sweepCard(controls) : null,
      take(controls), look(controls),
      h("details", { class: "card all", open: recall("all_open", false), on: { toggle: (event) => keep("all_open", event.target.open) } },
        h("summary", {}, h("h2", { text: t("settings.title") }), h("span", { class: "hint", text: t("settings.why") })), searching.element)),
    h("aside", { class: "make-side" }, judge.element, latest())));
  title();
  prompt.show();
  judge.update();
  return { submit: judge.submit, stop: judge.stop };
}

/** Which command, presets over everything, and a clean slate. */
function head({ schema, draft, has, set, changed, rebuild }) {
  const radios = h("fieldset", { class: "segments big" }, h("legend", { class: "unseen", text: t("make.what") }),
    COMMANDS.map((name) => radio("command", name, t(`command.${name}`), draft.command === name, () => {
      draft.command = name;
      changed();
      rebuild(`input[name=command][value=${name}]`);
    })));
  const preset = has("experiment") ? field(t("group.experiment"), groupSelect(schema, draft, "experiment", set)) : null;
  const clear = button(t("make.clear"), () => {
    Object.assign(draft, blank(), { command: draft.command });
    changed();
    rebuild("#prompt");
  }, { sign: "close", kind: "quiet" });
  return h("div", { class: "make-head" }, radios, preset, clear);
}

function radio(name, value, words, checked, change, title = null) {
  return h("label", { class: "segment", title }, h("input", { type: "radio", name, value, checked, on: { change } }), h("span", { text: words }));
}

function groupSelect(schema, draft, group, set) {
  const rows = (schema.groups[group] ?? []).map((one) => [one.name, one.name.replaceAll("_", " "), one.help]);
  return select([["", t("choice.default")], ...rows], draft.values[group] ?? "", (value) => set(group, value));
}

/** A group: few options stand side by side, many in a list; the help of the chosen one below. */
function choice({ schema, draft, set }, group) {
  const options = schema.groups[group] ?? [];
  const help = (value) => options.find((one) => one.name === value)?.help ?? "";
  const chosen = draft.values[group] ?? "";
  if (options.length > FEW) {
    const made = field(t(`group.${group}`), groupSelect(schema, draft, group, (value) => {
      set(group, value);
      note(made, help(value));
    }), help(chosen));
    return made;
  }
  const hint = h("p", { class: "hint", text: help(chosen), hidden: !help(chosen), "aria-live": "polite" });
  return h("fieldset", { class: "field" }, h("legend", { text: t(`group.${group}`) }),
    h("div", { class: "segments" }, [{ name: "", help: "" }, ...options].map((one) =>
      radio(group, one.name, one.name ? one.name.replaceAll("_", " ") : t("choice.default"), chosen === one.name, () => {
        set(group, one.name);
        hint.textContent = help(one.name);
        hint.hidden = !hint.textContent;
      }, one.help || null))), hint);
}

function note(made, text) {
  const hint = made.querySelector(".hint");
  hint.textContent = text;
  hint.hidden = !text;
}

function examples(schema, prompt) {
  if (!schema.examples?.length) return null;
  return button(t("prompt.example"), () => {
    const others = schema.examples.filter((one) => one !== prompt.text.value);
    prompt.text.value = others[Math.floor(Math.random() * others.length)] ?? prompt.text.value;
    prompt.text.dispatchEvent(new Event("input"));
    prompt.text.focus();
  }, { sign: "dice", kind: "quiet small" });
}

function negative({ schema, settings, draft, has, set }) {
  if (!has("shot.negative")) return null;
  const text = h("input", { type: "text", value: draft.values["shot.negative"] ?? "", autocomplete: "off", placeholder: plain(settings["shot.negative"].default), on: { input: () => set("shot.negative", text.value) } });
  return h("div", { class: "pair negative" },
    field(t("make.negative"), text, t("make.negative_hint")),
    has("negative") && schema.groups.negative?.length ? field(t("group.negative"), groupSelect(schema, draft, "negative", set)) : null);
}

/** Length, size, camera, speed, seed. */
function take(controls) {
  const { settings, draft, has, set } = controls;
  const several = draft.shots.length > 0;
  const numeric = (key, words) => has(key) ? field(words, settingControl(settings[key], draft.values[key] ?? "", (value) => set(key, value)), settings[key].accepted ?? "") : null;
  return h("section", { class: "card" }, h("h2", { text: t("make.take") }), h("div", { class: "fields" },
    draft.command === "stills" ? numeric("count", t("make.count")) : null,
    draft.command !== "stills" ? (several ? null : numeric("shot.seconds", t("make.seconds"))) : null,
    size(controls),
    draft.command !== "stills" && has("motion.camera") && !several ? field(t("make.camera"), settingControl(settings["motion.camera"], draft.values["motion.camera"] ?? "", (value) => set("motion.camera", value)), t("make.camera_hint")) : null,
    seed(controls),
    draft.command === "stills" ? null : numeric("best_of", t("make.best_of"))),
    h("div", { class: "fields" }, choice(controls, "speed"), has("motion") ? choice(controls, "motion") : null));
}

function size({ settings, draft, has, set }) {
  if (!has("finish.width")) return null;
  const [width, height] = ["finish.width", "finish.height"];
  const usual = `${plain(settings[width].default)} × ${plain(settings[height].default)}`;
  const now = draft.values[width] || draft.values[height] ? `${draft.values[width] ?? ""}x${draft.values[height] ?? ""}` : "";
  const rows = [["", t("settings.default", { value: usual })], ...SIZES.map(([x, y]) => [`${x}x${y}`, `${x} × ${y}`]), ["own", t("make.own_size")]];
  const own = now && !rows.some(([value]) => value === now);
  const inputs = h("div", { class: "row", hidden: !own }, [width, height].map((key, index) => {
    const input = settingControl(settings[key], draft.values[key] ?? "", (value) => set(key, value));
    input.setAttribute("aria-label", t(index ? "make.height" : "make.width"));
    return index ? [h("span", { text: "×" }), input] : input;
  }));
  const list = select(rows, own ? "own" : now, (value) => {
    inputs.hidden = value !== "own";
    if (value === "own") return inputs.querySelector("input").focus();
    const [x, y] = value ? value.split("x") : ["", ""];
    draft.values[height] = y;
    return set(width, x);
  });
  const made = field(t("make.size"), list);
  made.append(inputs);
  return made;
}

function seed({ settings, draft, set }) {
  const input = h("input", { type: "text", inputmode: "numeric", value: draft.values.seed ?? "", placeholder: plain(settings.seed?.default) || "0", autocomplete: "off", on: { input: () => set("seed", input.value.trim()) } });
  const made = field(t("make.seed"), input, t("make.seed_hint"));
  const row = h("div", { class: "row" });
  input.replaceWith(row);
  row.append(input, button(t("make.dice"), () => {
    input.value = String(Math.floor(Math.random() * MOST_DRAWN));
    set("seed", input.value);
  }, { sign: "dice", bare: true }));
  return made;
}

/** Base, style and its LoRAs, contest. */
function look(controls) {
  const { settings, has } = controls;
  return h("section", { class: "card" }, h("h2", { text: t("make.look") }),
    h("div", { class: "fields" }, ["base", "style"].filter(has).map((group) => choice(controls, group)), has("contest") ? choice(controls, "contest") : null),
    "style.loras" in settings ? loras(controls) : null);
}

function loras({ schema, draft, changed }) {
  const law = (schema.settings.video ?? []).find((one) => /^style\.loras\[\]\.weight$/.test(one.key)) ?? { low: 0, high: 2 };
  const list = h("datalist", { id: "lora-ids" });
  const rows = h("div", { class: "loras" });
  const listed = () => {
    if (list.childElementCount) return;
    get("/api/models").then(({ models }) => put(list, models.filter((one) => /style|lora|pastel|flat_color|character|aesthetic/.test(`${one.role} ${one.kind ?? ""}`)).map((one) => h("option", { value: one.role || one.id, text: one.id })))).catch(() => null);
  };
  const show = () => put(rows, draft.loras.map((one, index) => {
    const weight = h("output", { text: Number(one.weight).toFixed(2) });
    const name = h("input", { type: "text", value: one.id, list: "lora-ids", placeholder: t("lora.id"), "aria-label": t("lora.id"), autocomplete: "off", spellcheck: "false", on: { focus: listed, input: () => { one.id = name.value.trim(); changed(); } } });
    const slider = h("input", { type: "range", min: law.low, max: law.high, step: 0.05, value: one.weight, "aria-label": t("lora.weight", { id: one.id }), on: { input: () => { one.weight = Number(slider.value); weight.textContent = one.weight.toFixed(2); changed(); } } });
    return h("div", { class: "row lora" }, name, slider, weight, button(t("lora.drop"), () => { draft.loras.splice(index, 1); changed(); show(); }, { sign: "close", bare: true, kind: "small" }));
  }), button(t("lora.add"), () => {
    draft.loras.push({ id: "", weight: 0.8 });
    show();
    rows.querySelectorAll("input[type=text]")[draft.loras.length - 1].focus();
  }, { sign: "plus", kind: "quiet small" }));
  show();
  return h("div", { class: "field" }, h("p", { class: "label", text: t("lora.title") }), rows, list);
}

/** What a sweep varies: a key and its values with commas between, and presets of such grids. */
function sweepCard(controls) {
  const { schema, draft, changed, has } = controls;
  const keys = [...Object.keys(schema.groups).filter((group) => group !== "sweep" && has(group)), ...(schema.settings.video ?? []).map((one) => one.key).filter((key) => !/[[{]/.test(key))];
  const list = h("datalist", { id: "sweep-keys" }, keys.map((key) => h("option", { value: key })));
  const rows = h("div", { class: "loras" });
  const show = () => put(rows, draft.sweep.map((one, index) => {
    const key = h("input", { type: "text", value: one.key, list: "sweep-keys", placeholder: "seed", "aria-label": t("sweep.key"), autocomplete: "off", spellcheck: "false", on: { input: () => { one.key = key.value.trim(); changed(); }, change: () => show() } });
    const values = h("input", { type: "text", value: one.values, placeholder: "1,2,3", "aria-label": t("sweep.values", { key: one.key }), autocomplete: "off", spellcheck: "false", on: { input: () => { one.values = values.value; changed(); } } });
    const options = (schema.groups[one.key] ?? []).map((entry) => entry.name).concat((schema.settings.video ?? []).find((entry) => entry.key === one.key)?.members ?? []);
    const chosen = () => one.values.split(",").map((text) => text.trim()).filter(Boolean);
    return h("div", { class: "sweep-row" }, h("div", { class: "row" }, key, h("span", { text: "=" }), values,
      button(t("sweep.drop"), () => { draft.sweep.splice(index, 1); changed(); show(); }, { sign: "close", bare: true, kind: "small" })),
    options.length ? h("div", { class: "chips" }, options.map((name) => {
      const pressed = chosen().includes(name);
      return h("button", { type: "button", class: "chip", "aria-pressed": String(pressed), text: name, on: { click: () => {
        one.values = (pressed ? chosen().filter((other) => other !== name) : [...chosen(), name]).join(",");
        changed();
        show();
      } } });
    })) : null);
  }), button(t("sweep.add"), () => {
    draft.sweep.push(draft.sweep.length ? { key: "", values: "" } : { key: "seed", values: "1,2,3" });
    changed();
    show();
    rows.querySelectorAll(".sweep-row input")[2 * draft.sweep.length - 2].focus();
  }, { sign: "plus", kind: "quiet small" }));
  show();
  return h("section", { class: "card" }, h("h2", { text: t("sweep.title") }), h("p", { class: "hint", text: t("sweep.why") }),
    schema.groups.sweep?.length ? choice(controls, "sweep") : null, rows, list);
}

/** The still that is animated. */
function origin(draft, rebuild, changed) {
  return h("section", { class: "card origin" },
    draft.from.poster ? h("img", { src: draft.from.poster, alt: "", loading: "lazy" }) : icon("film"),
    h("div", {}, h("h2", { text: t("make.from", { n: draft.from.still }) }), h("p", { class: "hint", text: draft.from.path ?? draft.from.run })),
    button(t("make.not_from"), () => { draft.from = null; changed(); rebuild("#prompt"); }, { sign: "close", kind: "quiet" }));
}

/** The newest clips, for company. */
function latest() {
  const place = h("section", { class: "latest", "aria-label": t("make.latest") });
  get("/api/gallery?sort=newest&limit=3").then(({ runs }) => {
    const pictured = (runs ?? []).filter((run) => run.poster);
    if (!pictured.length) return;
    put(place, h("div", { class: "head" }, h("h3", { text: t("make.latest") }), linkButton(t("tab.gallery"), "/gallery", { kind: "quiet small" })),
      h("div", { class: "thumbs" }, pictured.map((run) => h("a", { href: `/gallery/${enc(run.id)}`, "aria-label": run.prompt || run.path }, h("img", { src: run.poster, alt: "", loading: "lazy" })))));
  }).catch(complain);
  return place;
}

