// The shell: header, views by address, connection, sign-in, theme and language.

import { getSchema, post } from "./api.js";
import { announce, button, h, icon, put, select, toast } from "./dom.js";
import { complain, go, said, trouble } from "./problems.js";
import { keep, listen, recall } from "./state.js";
import { LANGUAGES, lang, preferred, speak, t } from "./strings.js";

const VIEWS = [
  [/^\/$/, "make", () => import("./make.js")],
  [/^\/watch(?:\/([^/]+))?\/?$/, "watch", () => import("./watch.js")],
  [/^\/gallery\/?$/, "gallery", () => import("./gallery.js")],
  [/^\/gallery\/([^/]+)\/?$/, "gallery", () => import("./run.js")],
  [/^\/live\/?$/, "live", () => import("./live.js")],
  [/^\/enter\/?$/, "enter", () => import("./enter.js")],
  [/^\/models\/?$/, "models", () => import("./models.js")],
];
const TABS = [["make", "/"], ["live", "/live"], ["watch", "/watch"], ["gallery", "/gallery"], ["enter", "/enter"], ["models", "/models"]];

const view = document.getElementById("view");
const top = document.getElementById("top");
let leave = () => {};
let shown = 0;

async function show(moved = false) {
  const turn = ++shown;
  const path = location.pathname;
  const [pattern, name, load] = VIEWS.find(([one]) => one.test(path)) ?? VIEWS[0];
  const [, id] = pattern.exec(path) ?? [];
  for (const tab of top.querySelectorAll("[data-tab]")) {
    if (tab.dataset.tab === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.title = `${t(`tab.${name}`)} · pokora studio`;
  const module = await load();
  if (turn !== shown) return;
  leave();
  leave = () => {};
  const root = h("div", { class: ["page", `page-${name}`] });
  put(view, root);
  if (moved) {
    window.scrollTo(0, 0);
    view.focus({ preventScroll: true });
    announce(t(`tab.${name}`));
  }
  try {
    const away = await module.mount(root, { id: id && decodeURIComponent(id), query: new URLSearchParams(location.search) });
    if (turn === shown) leave = away ?? leave;
    else away?.();
  } catch (error) {
    if (turn === shown && error.status !== 401) put(root, trouble(error, () => show()));
  }
}

function shell() {
  const tabs = TABS.map(([name, href]) =>
    h("a", { href, data: { tab: name } }, icon(name), h("span", { text: t(`tab.${name}`) })));
  put(top,
    h("a", { class: "skip", href: "#view", text: t("skip"), on: { click: (event) => { event.preventDefault(); view.focus(); } } }),
    h("header", { class: "bar" },
      h("a", { class: "brand", href: "/", "aria-label": "pokora studio" },
        h("img", { src: "/page/icon.svg", alt: "", width: 30, height: 30 }),
        h("span", {}, h("b", { text: "pokora" }), " studio")),
      h("nav", { class: "tabs", "aria-label": t("nav") }, tabs),
      h("div", { class: "tools" }, languageChoice(), themeButton())),
    h("div", { class: "banner", id: "banner", role: "status", "aria-live": "polite" }));
  document.getElementById("toasts").setAttribute("aria-label", t("messages"));
}

function languageChoice() {
  return h("label", { class: "language" }, icon("globe"), h("span", { class: "unseen", text: t("language") }),
    select(Object.entries(LANGUAGES), lang(), async (code) => {
      keep("language", code);
      await speak(code);
      shell();
      await show();
      document.querySelector(".language select").focus();
    }));
}

function themeButton() {
  const names = ["auto", "light", "dark"];
  const signs = { auto: "auto", light: "sun", dark: "moon" };
  const now = recall("theme") ?? "auto";
  return button(t(`theme.${now}`), () => {
    const next = names[(names.indexOf(now) + 1) % names.length];
    keep("theme", next === "auto" ? null : next);
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    const fresh = themeButton();
    document.getElementById("theme").replaceWith(fresh);
    fresh.focus();
    announce(t(`theme.${next}`));
  }, { sign: signs[now], bare: true, id: "theme" });
}

function connection(online) {
  const banner = document.getElementById("banner");
  put(banner, online ? null : h("p", {}, icon("warn"), h("span", { text: t("offline") })));
  if (online) {
    toast(t("online"), { kind: "good", closeWords: t("close"), seconds: 3 });
    if (view.querySelector(".trouble")) void show();
  }
}

function signIn() {
  if (view.querySelector("#token")) return;
  shown += 1;
  leave();
  leave = () => {};
  const token = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const wrong = h("p", { class: "bad", role: "alert" });
  const form = h("form", { class: "card signin", on: { submit: async (event) => {
    event.preventDefault();
    try {
      await post("/api/session", { token: token.value });
      await getSchema();
      await show(true);
    } catch (problem) {
      wrong.textContent = problem.status === 401 ? t("signin.wrong") : said(problem);
      token.select();
    }
  } } },
    h("h1", { text: t("signin.title") }), h("p", { text: t("signin.why") }),
    h("label", { for: "token", text: t("signin.token") }), token, wrong,
    h("button", { class: "button primary", type: "submit" }, h("span", { text: t("signin.go") })));
  put(view, h("div", { class: "page" }, form));
  token.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const address = new URL(link.href);
  if (link.hasAttribute("download") || link.target || !VIEWS.some(([pattern]) => pattern.test(address.pathname))) return;
  event.preventDefault();
  if (address.href !== location.href) go(address.pathname + address.search);
});
window.addEventListener("popstate", () => void show(true));
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.code !== undefined) {
    event.preventDefault();
    complain(event.reason);
  }
});
listen("connection", connection);
listen("signin", signIn);
listen("go", (address) => {
  history.pushState(null, "", address);
  void show(true);
});

// All at once: the schema, the view's module and the words.
void getSchema().catch(() => null);
void VIEWS.find(([pattern]) => pattern.test(location.pathname))?.[2]();
speak(preferred()).then(() => {
  shell();
  return show();
}).catch(complain);
