// Problems as people read them, and the way to another view.

import { button, h, icon, toast } from "./dom.js";
import { tell } from "./state.js";
import { t } from "./strings.js";

/** Goes to an address of the page. */
export const go = (address) => tell("go", address);

/** A problem as a card: what, expected, what to do. */
export function trouble(problem, again = null) {
  return h("section", { class: "card trouble", role: "alert" },
    h("h2", {}, icon("warn"), h("span", { text: said(problem) })),
    problem.expected && h("p", {}, h("b", { text: `${t("problem.expected")} ` }), problem.expected),
    problem.fix && h("p", {}, h("b", { text: `${t("problem.fix")} ` }), problem.fix),
    problem.code && h("p", {}, h("code", { class: "code", text: problem.code })),
    again && button(t("problem.again"), again, { sign: "retry" }));
}

/** A problem in one line. */
export function said(problem) {
  if (problem.code === "NET") return t("problem.net");
  if (problem.status === 429) return `${problem.detail} ${t("problem.wait", { s: problem.retryAfter || "?" })}`;
  return problem.detail || problem.message || String(problem);
}

/** Tells a problem where everybody sees it. Aborted calls and sign-ins, which have their own panel, are none. */
export function complain(problem) {
  if (problem.name === "AbortError" || problem.status === 401) return;
  const fix = [problem.fix, problem.code && problem.code !== "NET" ? `(${problem.code})` : ""].filter(Boolean).join(" ");
  toast(said(problem), { kind: "bad", detail: fix, closeWords: t("close") });
}
