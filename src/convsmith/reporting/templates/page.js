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

  const matrix = (svg, chart) => {
    const cursor = svg.querySelector(".cursor");
    const size = chart.classes.length;
    let at = null;
    const choose = (row, column) => {
      at = [Math.max(0, Math.min(size - 1, row)), Math.max(0, Math.min(size - 1, column))];
      const [truth, guess] = at;
      const images = chart.rows[truth][guess];
      const all = chart.rows[truth].reduce((sum, each) => sum + each, 0);
      const share = all ? ` (${((100 * images) / all).toFixed(2)}%)` : "";
      const x = chart.left + guess * chart.cell;
      const y = chart.top + truth * chart.cell;
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
