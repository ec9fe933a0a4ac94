"use strict";
(() => {
  // Charts carry their points; what is under the pointer, or chosen with the arrow keys, is shown.
  const make = (svg, name, attributes) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    svg.append(element);
    return element;
  };

  const place = (svg, event) => {
    const box = svg.getBoundingClientRect();
    const view = svg.viewBox.baseVal;
    return [
      ((event.clientX - box.left) / box.width) * view.width,
      ((event.clientY - box.top) / box.height) * view.height,
    ];
  };

  const show = (svg, lines, x, y) => {
    const box = svg.nextElementSibling;
    const view = svg.viewBox.baseVal;
    box.replaceChildren(
      ...lines.map(([words, value, color]) => {
        const row = document.createElement("p");
        if (color) {
          const key = document.createElement("i");
          key.style.background = color;
          row.append(key);
        }
        row.append(words);
        if (value) {
          const strong = document.createElement("b");
          strong.textContent = value;
          row.append(" ", strong);
        }
        return row;
      }),
    );
    box.hidden = false;
    const right = x > view.width / 2;
    box.style.left = right ? "auto" : `calc(${(100 * x) / view.width}% + 14px)`;
    box.style.right = right ? `calc(${100 - (100 * x) / view.width}% + 14px)` : "auto";
    box.style.top = `${(100 * y) / view.height}%`;
  };

  const nearest = (list, value) =>
    list.reduce((best, at, i) => (Math.abs(at - value) < Math.abs(list[best] - value) ? i : best), 0);

  const listen = (svg, point, step, hide) => {
    svg.addEventListener("pointermove", (event) => point(...place(svg, event)));
    svg.addEventListener("pointerdown", (event) => point(...place(svg, event)));
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key === "Escape") hide();
      if (!moves[event.key]) return;
      event.preventDefault();
      step(...moves[event.key]);
    });
  };

  const lines = (svg, chart) => {
    const places = new Map();
    for (const line of chart.lines) for (const [x, px] of line.points) places.set(px, x);
    const stops = [...places.keys()].sort((a, b) => a - b);
    const cursor = make(svg, "path", { class: "cursor", visibility: "hidden" });
    const dots = chart.lines.map((line) =>
      make(svg, "circle", { class: "cursor-dot", r: 4.5, fill: line.color, visibility: "hidden" }),
    );
    let chosen = -1;
    const choose = (index) => {
      chosen = Math.max(0, Math.min(stops.length - 1, index));
      const px = stops[chosen];
      const rows = [[`${chart.x} ${places.get(px).toLocaleString("en")}`, "", ""]];
      chart.lines.forEach((line, number) => {
        const point = line.points.find((each) => each[1] === px);
        dots[number].setAttribute("visibility", point ? "visible" : "hidden");
        if (!point) return;
        dots[number].setAttribute("cx", point[1]);
        dots[number].setAttribute("cy", point[2]);
        rows.push([line.name, point[3], line.color]);
      });
      cursor.setAttribute("d", `M${px} ${chart.ends[0]}V${chart.ends[1]}`);
      cursor.setAttribute("visibility", "visible");
      show(svg, rows, px, chart.ends[0]);
    };
    const hide = () => {
      chosen = -1;
      for (const each of [cursor, ...dots]) each.setAttribute("visibility", "hidden");
      svg.nextElementSibling.hidden = true;
    };
    listen(svg, (x) => choose(nearest(stops, x)), (dx, dy) => choose(chosen + (dx || -dy)), hide);
  };

  const percent = (share) => `${(100 * share).toFixed(2)}%`;

  // A matrix in some order, its shades shares of its rows or of its columns; see heat_map.py.
  const draw = (svg, chart, order, bySide) => {
    const { rows, left, top, cell, gap, levels, deep } = chart;
    const totals = rows.map((row, at) => (bySide ? rows.map((each) => each[at]) : row));
    const sums = totals.map((counts) => counts.reduce((sum, each) => sum + each, 0));
    const share = (truth, guess) => rows[truth][guess] / sums[bySide ? guess : truth];
    const cells = [];
    order.forEach((truth, row) =>
      order.forEach((guess, column) => {
        if (rows[truth][guess]) cells.push([truth, guess, row, column]);
      }),
    );
    const wrong = cells.filter(([truth, guess]) => truth !== guess);
    const worst = Math.max(0, ...wrong.map(([truth, guess]) => share(truth, guess)));
    const old = svg.querySelectorAll("path.right, path.wrong, text.count");
    const counted = svg.querySelector("text.count") !== null;
    const ground = svg.querySelector(".ground");
    const side = cell - gap;
    const paths = new Map();
    const numbers = [];
    for (const [truth, guess, row, column] of cells) {
      const kind = truth === guess ? "right" : "wrong";
      const value = share(truth, guess);
      const shade = kind === "right" ? value : Math.sqrt(value / worst);
      const level = Math.max(1, Math.round(levels * shade));
      const [x, y] = [left + column * cell, top + row * cell];
      const key = `${kind} ${level}`;
      const square = `M${x.toFixed(2)} ${y.toFixed(2)}h${side}v${side}h-${side}z`;
      paths.set(key, (paths.get(key) ?? "") + square);
      if (!counted) continue;
      const [begins, ends] = deep[kind];
      const depth = shade > ends ? " deep deepest" : shade > begins ? " deep" : "";
      const text = make(svg, "text", {
        class: `count${depth}`, x: x + side / 2, y: y + side / 2, dy: ".35em", "text-anchor": "middle",
      });
      text.textContent = rows[truth][guess];
      numbers.push(text);
    }
    for (const each of old) each.remove();
    for (const [key, d] of paths) {
      const [kind, level] = key.split(" ");
      const opacity = (0.08 + (0.92 * level) / levels).toFixed(3);
      ground.after(make(svg, "path", { class: kind, "fill-opacity": opacity, d }));
    }
    svg.querySelector(".cursor").before(...numbers);
    return worst;
  };

  const matrix = (svg, chart) => {
    const cursor = svg.querySelector(".cursor");
    const size = chart.classes.length;
    const figure = svg.closest("figure");
    const names = ["row", "column"].map((kind) => [...svg.querySelectorAll(`text.${kind}`)]);
    const short = new Map(names[0].map((text, i) => [chart.orders[chart.order][i], text.textContent]));
    let order = chart.orders[chart.order];
    let bySide = false;
    let at = null;
    const redraw = () => {
      const worst = draw(svg, chart, order, bySide);
      for (const texts of names) texts.forEach((text, i) => (text.textContent = short.get(order[i])));
      const [told, side] = [figure.querySelector(".worst"), figure.querySelector(".side")];
      if (told) told.textContent = percent(worst);
      side.textContent = bySide ? "predicted class" : "true class";
      hide();
    };
    const choose = (row, column) => {
      at = [Math.max(0, Math.min(size - 1, row)), Math.max(0, Math.min(size - 1, column))];
      const [truth, guess] = at.map((place) => order[place]);
      const images = chart.rows[truth][guess];
      const counts = bySide ? chart.rows.map((each) => each[guess]) : chart.rows[truth];
      const all = counts.reduce((sum, each) => sum + each, 0);
      const share = all ? ` (${percent(images / all)})` : "";
      const x = chart.left + at[1] * chart.cell;
      const y = chart.top + at[0] * chart.cell;
      cursor.setAttribute("x", x);
      cursor.setAttribute("y", y);
      cursor.setAttribute("visibility", "visible");
      const rows = [
        ["true", chart.classes[truth], ""],
        ["predicted", chart.classes[guess], ""],
        ["images", images.toLocaleString("en") + share, ""],
      ];
      show(svg, rows, x + chart.cell / 2, Math.min(y, svg.viewBox.baseVal.height * 0.75));
    };
    const hide = () => {
      at = null;
      cursor.setAttribute("visibility", "hidden");
      svg.nextElementSibling.hidden = true;
    };
    const point = (x, y) => {
      const column = Math.floor((x - chart.left) / chart.cell);
      const row = Math.floor((y - chart.top) / chart.cell);
      if (row < 0 || column < 0 || row >= size || column >= size) hide();
      else choose(row, column);
    };
    listen(svg, point, (dx, dy) => (at ? choose(at[0] + dy, at[1] + dx) : choose(0, 0)), hide);
    const choices = figure.querySelector(".choices");
    if (!choices) return;
    choices.hidden = false;
    choices.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      for (const each of button.parentElement.querySelectorAll("button")) {
        each.setAttribute("aria-pressed", each === button ? "true" : "false");
      }
      if (button.dataset.order) order = chart.orders[button.dataset.order];
      if (button.dataset.side) bySide = button.dataset.side === "predicted class";
      redraw();
    });
  };

  for (const svg of document.querySelectorAll("svg[data-chart]")) {
    const chart = JSON.parse(svg.dataset.chart);
    (chart.lines ? lines : matrix)(svg, chart);
  }

  // Tables are sorted by the titles of their columns; what has no value comes last.
  const sort = (table, column, header) => {
    const rising = header.getAttribute("aria-sort") === "ascending";
    const first = header.classList.contains("n") ? "descending" : "ascending";
    const now = header.hasAttribute("aria-sort") ? (rising ? "descending" : "ascending") : first;
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", now);
    const sign = now === "ascending" ? 1 : -1;
    const key = (row) => row.cells[column].dataset.value;
    const rows = [...table.tBodies[0].rows];
    const numbers = rows.every((row) => !Number.isNaN(Number(key(row))));
    rows.sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      if (left === "" || right === "") return (left === "") - (right === "");
      return sign * (numbers ? left - right : left.localeCompare(right, "en", { numeric: true }));
    });
    table.tBodies[0].append(...rows);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = header.querySelector("button");
      if (button) button.addEventListener("click", () => sort(table, column, header));
    });
  }
})();
