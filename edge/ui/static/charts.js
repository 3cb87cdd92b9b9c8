/* Draws every [data-chart] with uPlot in the page's colours, and again when width or theme change. */
(function () {
  'use strict';
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim(); }
  var KINDS = { calm: 'calm', accent: 'accent', plan: 'muted' };

  function draw(node) {
    var spec = JSON.parse(node.dataset.chart), width = node.clientWidth;
    if (!width) return;
    node.textContent = '';
    var axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line') }, font: '12px system-ui' };
    var series = spec.lines.map(function (line) {
      var tint = colour(KINDS[line.kind]);
      return { label: line.name, stroke: tint, width: 2, dash: line.kind === 'plan' ? [4, 4] : undefined, fill: line.kind === 'calm' ? tint + '22' : undefined, points: { show: false } };
    });
    var data = [spec.x].concat(spec.lines.map(function (line) { return line.y.map(function (v) { return spec.log && v === 0 ? null : v; }); }));
    new uPlot({
      width: width, height: 200,
      scales: { x: { time: false }, y: spec.log ? { distr: 3 } : { range: function (u, low, high) { return [0, high || 1]; } } },
      axes: [Object.assign({ label: spec.unit, labelSize: 18, size: 32 }, axis), Object.assign({ size: 62 }, axis)],
      series: [{ label: spec.unit }].concat(series),
      cursor: { drag: { x: false, y: false } }
    }, data, node);
  }
  function draw_all() { Array.prototype.forEach.call(document.querySelectorAll('[data-chart]'), draw); }
  draw_all();
  window.addEventListener('resize', draw_all);
  new MutationObserver(draw_all).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
})();
