// A run's record as a graph: layers from left to right, drawn in SVG; arrow keys walk along its edges.

import { h, put, s } from "./dom.js";
import { t } from "./strings.js";

const WIDE = 148;
const HIGH = 44;
const GAP_X = 56;
const STEP = 62; // of a row
const SWEEPS = 24;

/** Where each node stands, and by which way each edge goes: long ones get a place in every layer between. */
export function layout(nodes) {
  const known = new Set(nodes.map((node) => node.id));
  const parents = new Map(nodes.map((node) => [node.id, [...new Set(node.parents ?? [])].filter((id) => known.has(id))]));
  const children = new Map(nodes.map((node) => [node.id, []]));
  for (const [id, from] of parents) for (const one of from) children.get(one).push(id);
  const layer = layered(nodes, parents, children);
  const layers = Array.from({ length: Math.max(...layer.values()) + 1 }, () => []);
  for (const node of nodes) layers[layer.get(node.id)].push(node.id);
  const [before, after] = [new Map(nodes.map((node) => [node.id, []])), new Map(nodes.map((node) => [node.id, []]))];
  const ways = [];
  // Edges of one node to the same layer share their way: a bundle, and a narrower drawing.
  for (const [id, from] of parents) {
    for (const one of from) {
      const way = [one];
      for (let at = layer.get(one) + 1; at < layer.get(id); at += 1) {
        const lane = `${one} ${at}`;
        if (!before.has(lane)) {
          layers[at].push(lane);
          before.set(lane, []);
          after.set(lane, []);
        }
        way.push(lane);
      }
      way.push(id);
      ways.push({ from: one, to: id, way });
      for (let step = 1; step < way.length; step += 1) {
        if (before.get(way[step]).includes(way[step - 1])) continue;
        before.get(way[step]).push(way[step - 1]);
        after.get(way[step - 1]).push(way[step]);
      }
    }
  }
  const y = heights(layers, before, after, known);
  const low = Math.min(...y.values());
  const high = Math.max(...y.values());
  const x = new Map(layers.flatMap((row, index) => row.map((id) => [id, index * (WIDE + GAP_X)])));
  const places = new Map([...y].map(([id, at]) => [id, { x: x.get(id), y: (at - low) * STEP, layer: 0 }]));
  for (const [id, at] of layer) places.get(id).layer = at;
  const rows = layers.map((row) => row.filter((id) => known.has(id)));
  return { places, parents, children, ways, layers: rows, width: layers.length * (WIDE + GAP_X) - GAP_X, height: (high - low) * STEP + HIGH };
}

/** The layer of each node: behind its last parent; what has none stands just before its first child. */
function layered(nodes, parents, children) {
  const layer = new Map();
  const depth = (id) => {
    if (!layer.has(id)) {
      layer.set(id, 0);
      layer.set(id, Math.max(-1, ...parents.get(id).map(depth)) + 1);
    }
    return layer.get(id);
  };
  nodes.forEach((node) => depth(node.id));
  for (const node of nodes) {
    const next = children.get(node.id).map((id) => layer.get(id));
    if (!parents.get(node.id).length && next.length) layer.set(node.id, Math.max(0, Math.min(...next) - 1));
  }
  return layer;
}

/** The height of each node and lane in rows: near what it hangs on, by turns from both sides. */
function heights(layers, before, after, known) {
  const y = new Map();
  const room = (id) => (known.has(id) ? 0.5 : 0.16);
  for (const row of layers) row.forEach((id, index) => y.set(id, index - (row.length - 1) / 2));
  const middle = (ids, other) => (ids.length ? ids.reduce((all, id) => all + y.get(id), 0) / ids.length : other);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const near = sweep % 2 ? after : before;
    for (const row of sweep % 2 ? [...layers].reverse() : layers) {
      const both = sweep >= SWEEPS / 2;
      const wish = new Map(row.map((id) => [id, middle(both ? [...before.get(id), ...after.get(id)] : near.get(id), y.get(id))]));
      row.sort((one, other) => wish.get(one) - wish.get(other));
      spread(row, wish, y, room);
    }
  }
  return y;
}

/** Each as near to its wish as its neighbours in the row allow, all shifted so that the sum of ways is least. */
function spread(row, wish, y, room) {
  let last = -Infinity;
  let before = 0;
  for (const id of row) {
    last = Math.max(wish.get(id), last + before + room(id));
    before = room(id);
    y.set(id, last);
  }
  const shift = row.reduce((all, id) => all + wish.get(id) - y.get(id), 0) / (row.length || 1);
  for (const id of row) y.set(id, y.get(id) + shift);
}

const KINDS = [[/noise/, "noise"], [/prompt|text|words/, "text"], [/keyframe|still|picture|draw/, "picture"], [/choreo|control|map|pose/, "maps"], [/motion|segment|window|draft/, "motion"], [/encode|video|finish|frame|sheet|preview/, "video"]];
const kind = (node) => KINDS.find(([pattern]) => pattern.test(node.operation))?.[1] ?? "other";

/** The graph as an element: the drawing, and what the chosen node says. */
export function graphView(nodes) {
  const plan = layout(nodes);
  const by = new Map(nodes.map((node) => [node.id, node]));
  const told = h("div", { class: "node-facts", "aria-live": "polite" });
  const edges = s("g", { class: "edges" });
  const boxes = s("g");
  const drawn = new Map();
  const lines = [];
  for (const { from, to, way } of plan.ways) {
    const line = s("path", { d: curve(way.map((id) => plan.places.get(id))) });
    lines.push({ line, from, to });
    edges.append(line);
  }
  const choose = (id, focus = false) => {
    const node = by.get(id);
    for (const [other, box] of drawn) {
      box.setAttribute("tabindex", other === id ? "0" : "-1");
      box.setAttribute("aria-pressed", String(other === id));
    }
    for (const { line, from, to } of lines) line.setAttribute("class", from === id || to === id ? "near" : "");
    put(told, facts(node, plan, by, (next) => choose(next, true)));
    if (focus) drawn.get(id).focus();
  };
  for (const node of nodes) {
    const { x, y } = plan.places.get(node.id);
    const box = s("g", {
      class: `node ${kind(node)}`, transform: `translate(${x} ${y})`, role: "button", tabindex: -1,
      "aria-label": `${node.label || node.operation} ${second(node)}, ${t("graph.node", { n: plan.parents.get(node.id).length })}`, "aria-pressed": "false",
      on: { click: () => choose(node.id), focus: () => choose(node.id), keydown: (event) => walk(event, node.id) },
    }, s("rect", { width: WIDE, height: HIGH, rx: 11 }), s("rect", { class: "mark", width: 5, height: HIGH - 16, x: 8, y: 8, rx: 2.5 }),
    s("text", { x: 22, y: 19, text: cut(node.label || node.operation, 18) }), s("text", { class: "second", x: 22, y: 34, text: second(node) }));
    drawn.set(node.id, box);
    boxes.append(box);
  }
  const walk = (event, id) => {
    const row = plan.layers[plan.places.get(id).layer];
    const beside = row.indexOf(id);
    const next = {
      ArrowLeft: plan.parents.get(id)[0], ArrowRight: plan.children.get(id)[0],
      ArrowUp: row[beside - 1], ArrowDown: row[beside + 1], Home: nodes[0].id, End: nodes[nodes.length - 1].id,
    };
    if (!(event.key in next)) return;
    event.preventDefault();
    if (next[event.key]) choose(next[event.key], true);
  };
  const drawing = s("svg", { class: "graph", viewBox: `-8 -8 ${plan.width + 16} ${plan.height + 16}`, width: plan.width + 16, height: plan.height + 16, role: "group", "aria-label": t("graph.title", { n: nodes.length }) }, edges, boxes);
  choose(nodes[nodes.length - 1].id);
  return h("div", { class: "graph-box" }, h("div", { class: "scroll" }, drawing), told);
}

/** A line from the right side of the first place, through those between, to the left side of the last. */
function curve(places) {
  let [x, y] = [places[0].x + WIDE, places[0].y + HIGH / 2];
  let path = `M${x} ${y}`;
  places.slice(1).forEach((place, index) => {
    const [nx, ny] = [place.x, place.y + HIGH / 2];
    const bend = (nx - x) / 2;
    path += `C${x + bend} ${y} ${nx - bend} ${ny} ${nx} ${ny}`;
    if (index < places.length - 2) path += `H${place.x + WIDE}`;
    [x, y] = [place.x + WIDE, ny];
  });
  return path;
}

function facts(node, plan, by, choose) {
  const link = (id) => h("button", { type: "button", class: "chip", text: by.get(id).label || by.get(id).operation, on: { click: () => choose(id) } });
  const params = Object.entries(node.params ?? {});
  return [
    h("h3", { text: node.label || node.operation }), h("p", { class: "hint" }, h("code", { text: `${node.operation} ${node.id.slice(0, 16)}` })),
    plan.parents.get(node.id).length ? h("p", { class: "chips" }, h("span", { class: "hint", text: t("graph.from") }), plan.parents.get(node.id).map(link)) : null,
    plan.children.get(node.id).length ? h("p", { class: "chips" }, h("span", { class: "hint", text: t("graph.to") }), plan.children.get(node.id).map(link)) : null,
    h("dl", { class: "facts" }, params.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: typeof value === "object" ? JSON.stringify(value) : String(value) })))),
  ];
}

const second = (node) => cut(node.label && node.label !== node.operation ? node.operation : node.id.slice(0, 12), 20);
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
