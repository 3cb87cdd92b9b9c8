/* Draws every [data-chart] with uPlot in the page's colours, and again when its data, the width or the theme change. */
(function () {
  'use strict';
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim(); }
  var drawn = new WeakMap();
  var KINDS = { calm: 'calm', accent: 'accent', plan: 'muted', rule: 'calm' }, DASHES = { plan: [4, 4], rule: [12, 4] };

  function ticked(spec) {
    if (spec.steps) return { incrs: spec.steps };
    return spec.ticks ? { splits: function () { return spec.x; }, values: function () { return spec.ticks; } } : {};
  }
  function mark(spec) {
    return function (plot) {
      if (spec.mark === undefined) return;
      var x = plot.valToPos(spec.mark, 'x', true), pen = plot.ctx, box = plot.bbox;
      pen.save();
      pen.strokeStyle = pen.fillStyle = colour('text');
      pen.lineWidth = devicePixelRatio;
      pen.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      pen.beginPath(); pen.moveTo(x, box.top); pen.lineTo(x, box.top + box.height); pen.stroke();
      pen.font = 12 * devicePixelRatio + 'px system-ui';
      pen.textAlign = 'left';
      pen.textBaseline = 'top';
      pen.fillText(spec.mark_name, x + 4 * devicePixelRatio, box.top);
      pen.restore();
    };
  }
  function draw(node) {
    var spec = JSON.parse(node.dataset.chart), width = node.clientWidth;
    if (!width) return;
    node.textContent = '';
    drawn.set(node, node.dataset.chart);
    var axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line') }, font: '12px system-ui' };
    var series = spec.lines.map(function (line) {
      var tint = colour(KINDS[line.kind]);
      return { label: line.name, stroke: tint, width: 2, dash: DASHES[line.kind], fill: line.kind === 'calm' ? tint + '22' : undefined, points: { show: !!spec.points } };
    });
    var data = [spec.x].concat(spec.lines.map(function (line) { return line.y.map(function (v) { return spec.log && v === 0 ? null : v; }); }));
    new uPlot({
      width: width, height: 200,
      scales: { x: { time: false, range: spec.from === undefined ? undefined : [spec.from, spec.to] }, y: spec.log ? { distr: 3 } : { range: function (u, low, high) { return [0, high || 1]; } } },
      axes: [Object.assign({ label: spec.unit, labelSize: 18, size: 32 }, ticked(spec), axis), Object.assign({ size: 62, label: spec.side, labelSize: spec.side ? 18 : 0 }, axis)],
      hooks: { draw: [mark(spec)], setCursor: [function (plot) { plot.root.classList.toggle('is-read', plot.cursor.idx != null); }] },
      series: [{ label: spec.unit, value: spec.ticks ? function (u, v) { return v === null ? '–' : spec.ticks[v]; } : undefined }].concat(series),
      cursor: { drag: { x: false, y: false } }
    }, data, node);
  }
  function draw_all() { Array.prototype.forEach.call(document.querySelectorAll('[data-chart]'), draw); }
  draw_all();
  document.addEventListener('console:updated', function () {
    Array.prototype.forEach.call(document.querySelectorAll('[data-chart]'), function (node) { if (drawn.get(node) !== node.dataset.chart) draw(node); });
  });
  window.addEventListener('resize', draw_all);
  new MutationObserver(draw_all).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
})();
