/* Draws zones on a still: each click is a corner of the zone at work, whose row in the form holds its corners. */
(function () {
  'use strict';
  var stage = document.querySelector('[data-zones]'), rows = document.querySelector('[data-zone-rows]');
  if (!rows) return;
  var svg = stage && stage.querySelector('svg'), form = rows.closest('form'), blank = document.querySelector('[data-zone-new]'), drawn = null;

  function all() { return Array.prototype.slice.call(rows.children); }
  function field(row, name) { return row.querySelector('[name="' + name + '"]'); }
  function corners(row) { return field(row, 'points').value.split(' ').filter(Boolean); }
  function show() {
    if (svg) svg.textContent = '';
    all().forEach(function (row) {
      var kind = field(row, 'kind').value;
      row.classList.toggle('is-watch', kind === 'watch');
      if (!svg) return;
      var shape = document.createElementNS(svg.namespaceURI, 'polygon');
      shape.setAttribute('class', row === drawn ? 'new ' + kind : kind);
      shape.setAttribute('points', corners(row).join(' '));
      svg.appendChild(shape);
    });
  }
  function free_name() {
    var names = all().map(function (row) { return field(row, 'name').value; }), n = 1;
    while (names.indexOf('zone' + n) >= 0) n += 1;
    return 'zone' + n;
  }
  function begin() {
    var name = free_name();
    drawn = rows.appendChild(blank.content.firstElementChild.cloneNode(true));
    field(drawn, 'name').value = name;
  }
  function put(points) {
    field(drawn, 'points').value = points.join(' ');
    if (!points.length) { drawn.remove(); drawn = null; }
    show();
  }
  if (stage && document.querySelector('[data-zone-next]')) {
    stage.addEventListener('click', function (event) {
      var box = stage.querySelector('img').getBoundingClientRect();
      function share(at, from, size) { return Math.min(1, Math.max(0, (at - from) / size)).toFixed(4); }
      if (!drawn) begin();
      var points = corners(drawn);
      if (points.length < 32) put(points.concat(share(event.clientX, box.left, box.width) + ',' + share(event.clientY, box.top, box.height)));
    });
    document.querySelector('[data-zone-undo]').addEventListener('click', function () { if (drawn) put(corners(drawn).slice(0, -1)); });
    document.querySelector('[data-zone-next]').addEventListener('click', function () { drawn = null; show(); });
  }
  rows.addEventListener('change', show);
  rows.addEventListener('click', function (event) {
    var button = event.target.closest('[data-zone-remove]');
    if (!button) return;
    event.preventDefault();
    var row = button.closest('.zrow');
    if (row === drawn) drawn = null;
    row.remove();
    show();
    form.querySelector('[data-zone-save]').focus();
  });
})();
