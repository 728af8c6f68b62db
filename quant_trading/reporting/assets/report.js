(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("scripted");

  function all(selector, inside) { return Array.prototype.slice.call((inside || document).querySelectorAll(selector)); }

  // Light and dark: what the system asks for until the button is pressed.
  var theme = document.getElementById("theme");
  theme.addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Numbers as the tables write them.
  function grouped(value, least, most) {
    return Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: least, maximumFractionDigits: most });
  }
  function shown(value, kind) {
    if (value === null) { return "n/a"; }
    var text;
    if (kind === "percent" || kind === "return") { text = grouped(value * 100, 2, 2) + "%"; }
    else if (kind === "count") { text = grouped(value, 0, 0); }
    else if (kind === "price" && Math.abs(value) < 10) { text = grouped(value, 4, 4); }
    else { text = grouped(value, 2, 2); }
    return (value < 0 && /[1-9]/.test(text) ? "\u2212" : "") + text;
  }
  function moment(minutes) {
    var text = new Date(minutes * 60000).toISOString();
    return text.slice(11, 16) === "00:00" ? text.slice(0, 10) : text.slice(0, 10) + " " + text.slice(11, 16);
  }
  function summed(differences) {
    var at = 0;
    return differences.map(function (d) { at += d; return at; });
  }
  function make(name, className, text) {
    var node = document.createElement(name);
    if (className) { node.className = className; }
    if (text !== undefined) { node.textContent = text; }
    return node;
  }

  // The crosshair: the nearest point of the chart and its values.
  all(".plot").forEach(function (plot) {
    var glass = plot.querySelector(".glass"), block = plot.querySelector("script.points");
    if (!glass || !block) { return; }
    var data = null, hair = make("div", "hair"), tip = make("div", "tip"), words = {};
    function read() {
      data = JSON.parse(block.textContent);
      data.x = summed(data.x);
      data.t = summed(data.t);
      data.w.forEach(function (pair) { words[pair[0]] = pair[1]; });
      glass.append(hair, tip);
    }
    function show(event) {
      if (!data) { read(); }
      var box = glass.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * 10000;
      var low = 0, high = data.x.length - 1;
      while (high - low > 1) {
        var middle = (low + high) >> 1;
        if (data.x[middle] < x) { low = middle; } else { high = middle; }
      }
      var at = x - data.x[low] < data.x[high] - x ? low : high, left = data.x[at] / 10000 * box.width;
      tip.textContent = "";
      tip.append(make("b", "", moment(data.t[at])));
      data.s.forEach(function (series) {
        var row = make("div");
        row.append(make("span", "", series.n), make("span", "", shown(series.v[at], data.k)));
        tip.append(row);
      });
      if (words[at]) { tip.append(make("span", "word", words[at])); }
      hair.style.left = left + "px";
      hair.hidden = tip.hidden = false;
      tip.style.left = Math.max(0, left + 12 + tip.offsetWidth > box.width ? left - 12 - tip.offsetWidth : left + 12) + "px";
    }
    glass.addEventListener("pointermove", show);
    glass.addEventListener("pointerdown", show);
    glass.addEventListener("pointerleave", function () { hair.hidden = tip.hidden = true; });
  });

  // Tables sort by the exact value of a cell where it has one, else by its text.
  all("table.sortable").forEach(function (table) {
    var heads = all("thead th", table), body = table.querySelector("tbody");
    heads.forEach(function (head, column) {
      head.querySelector("button").addEventListener("click", function () {
        var numeric = head.classList.contains("num");
        var down = head.getAttribute("aria-sort") === "none" ? numeric : head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        function key(row) {
          var cell = row.cells[column];
          return numeric ? (cell.dataset.v === undefined ? -Infinity : Number(cell.dataset.v)) : cell.textContent;
        }
        all("tr", body).sort(function (a, b) {
          var p = key(a), q = key(b), order = p < q ? -1 : p > q ? 1 : 0;
          return down ? -order : order;
        }).forEach(function (row) { body.append(row); });
      });
    });
  });

  // One price chart, and one list of trades, at a time.
  var choice = document.getElementById("price-symbol");
  if (choice) {
    var pick = function () {
      all("[data-price]").forEach(function (chart) { chart.hidden = chart.dataset.price !== choice.value; });
    };
    choice.addEventListener("change", pick);
    pick();
  }
  all(".tabbed").forEach(function (box) {
    var buttons = all(".tabs button", box), panels = all("[data-panel]", box);
    function open(name) {
      panels.forEach(function (panel) { panel.classList.toggle("seen", !name || panel.id === name); });
      buttons.forEach(function (button) { button.setAttribute("aria-pressed", String(button.dataset.show === name)); });
    }
    buttons.forEach(function (button) { button.addEventListener("click", function () { open(button.dataset.show); }); });
    open(buttons.length ? buttons[0].dataset.show : "");
  });

  // The link of the section that is read.
  var links = all("nav a"), sections = links.map(function (link) { return document.querySelector(link.hash); });
  function mark() {
    var here = 0;
    sections.forEach(function (section, i) { if (section.getBoundingClientRect().top < 120) { here = i; } });
    links.forEach(function (link, i) { link.classList.toggle("here", i === here); });
  }
  if (links.length) { addEventListener("scroll", mark, { passive: true }); mark(); }
})();
