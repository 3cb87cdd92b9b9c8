/* Draws zones on a still. The zone at work has its corners as buttons over the picture: dragged, or moved with the
   arrow keys; the small ones between them add a corner, Delete takes one away. The rows of the form hold everything. */
(function () {
  'use strict';
  var stage = document.querySelector('[data-zones]'), rows = document.querySelector('[data-zone-rows]');
  if (!rows) return;
  var svg = stage && stage.querySelector('svg'), names = stage && stage.querySelector('[data-zone-names]');
  var layer = stage && stage.querySelector('[data-corners]'), undo_button = document.querySelector('[data-zone-undo]');
  var LEAST = 3, MOST = 32, STEP = 0.005, MOST_UNDONE = 100;
  var chosen = null, is_drawing = false, dragged = null, history = [], nudged = '';

  function list(parent) { return Array.prototype.slice.call(parent.children); }
  function field(row, name) { return row.querySelector('[name="' + name + '"]'); }
  function corners(row) {
    return field(row, 'points').value.split(' ').filter(Boolean).map(function (pair) { return pair.split(',').map(Number); });
  }
  function write(points) {
    field(chosen, 'points').value = points.map(function (point) {
      return point.map(function (v) { return +Math.min(1, Math.max(0, v)).toFixed(4); }).join(',');
    }).join(' ');
    draw();
  }

  // ---- undo: what the rows held before each change
  function state() { return list(rows).map(function (row) { return { row: row, points: field(row, 'points').value }; }); }
  function text(rows_then) { return rows_then.map(function (one) { return one.row.dataset.key + one.points; }).join('|'); }
  var keys = 0;
  function remember() {
    list(rows).forEach(function (row) { row.dataset.key = row.dataset.key || 'row' + keys++; });
    history = history.concat([state()]).slice(-MOST_UNDONE);
    nudged = '';
  }
  function undo() {
    var now = text(state()), before;
    do before = history.pop(); while (before && text(before) === now);
    if (!before) return draw();
    rows.replaceChildren.apply(rows, before.map(function (one) { return one.row; }));
    before.forEach(function (one) { field(one.row, 'points').value = one.points; });
    if (!rows.contains(chosen)) { chosen = null; is_drawing = false; }
    draw();
  }

  // ---- what is seen
  function place(node, at) { node.style.left = 100 * at[0] + '%'; node.style.top = 100 * at[1] + '%'; }
  function draw() {
    list(rows).forEach(function (row) {
      row.classList.toggle('is-watch', field(row, 'kind').value === 'watch');
      row.classList.toggle('is-chosen', row === chosen);
    });
    if (undo_button) undo_button.disabled = !history.length;
    if (!stage) return;
    svg.textContent = names.textContent = '';
    list(rows).forEach(function (row, i) {
      var points = corners(row), shape = svg.appendChild(document.createElementNS(svg.namespaceURI, 'polygon'));
      shape.setAttribute('class', field(row, 'kind').value + (row === chosen ? ' chosen' : ''));
      shape.setAttribute('points', points.join(' '));
      shape.dataset.row = i;
      if (!points.length) return;
      var tag = names.appendChild(document.createElement('span'));
      tag.textContent = field(row, 'name').value;
      place(tag, points.reduce(function (best, point) { return point[1] < best[1] ? point : best; }));
    });
    if (layer) draw_handles();
  }
  function draw_handles() {
    var points = chosen ? corners(chosen) : [], has_middles = !is_drawing && points.length >= LEAST && points.length < MOST, wanted = [];
    points.forEach(function (at, i) {
      var next = points[(i + 1) % points.length];
      wanted.push({ at: at, i: i, is_middle: false });
      if (has_middles) wanted.push({ at: [(at[0] + next[0]) / 2, (at[1] + next[1]) / 2], i: i, is_middle: true });
    });
    while (layer.children.length > wanted.length) layer.lastChild.remove();
    wanted.forEach(function (one, n) {
      var node = layer.children[n] || layer.appendChild(document.createElement('button'));
      node.type = 'button';
      node.className = one.is_middle ? 'middle' : 'corner';
      node.dataset.i = one.i;
      node.setAttribute('aria-label', (one.is_middle ? layer.dataset.add : layer.dataset.corner).replace('#', one.i + 1)
        .replace('#', points.length).replace('#', Math.round(100 * one.at[0])).replace('#', Math.round(100 * one.at[1])));
      place(node, one.at);
    });
  }
  function handle(i) { return layer.querySelector('.corner[data-i="' + i + '"]'); }

  // ---- changes
  function choose(row) { chosen = row; is_drawing = false; draw(); }
  function begin() {
    var taken = list(rows).map(function (row) { return field(row, 'name').value; }), n = 1;
    while (taken.indexOf('zone' + n) >= 0) n += 1;
    chosen = rows.appendChild(document.querySelector('[data-zone-new]').content.firstElementChild.cloneNode(true));
    field(chosen, 'name').value = 'zone' + n;
    is_drawing = true;
  }
  function move(i, at) { write(corners(chosen).map(function (point, n) { return n === i ? at : point; })); }
  function add_after(i, at) {
    var points = corners(chosen);
    points.splice(i + 1, 0, at);
    write(points);
    return i + 1;
  }
  function take_away(i) {
    var points = corners(chosen);
    if (points.length <= LEAST) return;
    remember();
    points.splice(i, 1);
    write(points);
    handle(Math.min(i, points.length - 1)).focus();
  }
  function nudge(i, x, y) {
    if (nudged !== 'corner' + i) { remember(); nudged = 'corner' + i; }
    var at = corners(chosen)[i];
    move(i, [at[0] + x, at[1] + y]);
  }
  function where(event) {
    var box = stage.querySelector('img').getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }
  function middle(node) { return [parseFloat(node.style.left) / 100, parseFloat(node.style.top) / 100]; }

  function listen() {
    stage.addEventListener('click', function (event) {
      if (layer.contains(event.target)) return;
      var shape = event.target.closest('polygon');
      if (shape && !is_drawing) return choose(rows.children[shape.dataset.row]);
      remember();
      if (!chosen || !is_drawing) begin();
      var points = corners(chosen);
      if (points.length < MOST) write(points.concat([where(event)]));
    });
    layer.addEventListener('pointerdown', function (event) {
      var node = event.target.closest('button');
      if (!node || event.button) return;
      event.preventDefault();
      remember();
      dragged = { i: +node.dataset.i, has_moved: false };
      if (node.className === 'middle') { dragged.i = add_after(dragged.i, middle(node)); dragged.has_moved = true; }
      handle(dragged.i).focus();
      handle(dragged.i).setPointerCapture(event.pointerId);
    });
    layer.addEventListener('pointermove', function (event) {
      if (!dragged) return;
      dragged.has_moved = true;
      move(dragged.i, where(event));
    });
    ['pointerup', 'pointercancel'].forEach(function (name) {
      layer.addEventListener(name, function () {
        if (dragged && !dragged.has_moved && is_drawing && dragged.i === 0 && corners(chosen).length >= LEAST) choose(chosen);
        dragged = null;
      });
    });
    layer.addEventListener('click', function (event) { // from the keyboard: the pointer has added it already
      var node = event.target;
      if (event.detail || node.className !== 'middle') return;
      remember();
      handle(add_after(+node.dataset.i, middle(node))).focus();
    });
    layer.addEventListener('keydown', function (event) {
      var i = +event.target.dataset.i, step = event.shiftKey ? 10 * STEP : STEP, is_corner = event.target.className === 'corner';
      var ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (is_corner && ways[event.key]) nudge(i, ways[event.key][0], ways[event.key][1]);
      else if (is_corner && (event.key === 'Delete' || event.key === 'Backspace')) take_away(i);
      else if (event.key === 'Escape') { field(chosen, 'name').focus(); choose(null); }
      else return;
      event.preventDefault();
    });
    undo_button.addEventListener('click', undo);
    document.addEventListener('keydown', function (event) {
      if (event.key !== 'z' || !(event.ctrlKey || event.metaKey) || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
      event.preventDefault();
      undo();
    });
    document.querySelector('[data-zone-next]').addEventListener('click', function () { chosen = null; is_drawing = true; draw(); });
  }
  if (stage && undo_button) listen();

  rows.addEventListener('input', draw);
  rows.addEventListener('focusin', function (event) {
    var row = event.target.closest('.zrow');
    if (stage && row !== chosen) choose(row);
  });
  rows.addEventListener('click', function (event) {
    var button = event.target.closest('[data-zone-remove]');
    if (!button) return;
    event.preventDefault();
    remember();
    button.closest('.zrow').remove();
    choose(null);
    rows.closest('form').querySelector('[data-zone-save]').focus();
  });
  draw();
})();
