/* Draws a polygon on a still and writes the lines for the configuration file. Nothing is changed on the box. */
(function () {
  'use strict';
  var stage = document.querySelector('[data-zones]');
  if (!stage) return;
  var facts = JSON.parse(stage.dataset.zones), points = [], kind = document.querySelector('[data-zone-kind]');
  var shape = stage.querySelector('polygon.new'), out = document.querySelector('[data-zone-out]');

  function name() {
    var n = 1;
    while (facts.names.indexOf(kind.value + n) >= 0) n += 1;
    return kind.value + n;
  }
  function show() {
    shape.setAttribute('points', points.map(function (p) { return p.join(','); }).join(' '));
    shape.setAttribute('class', 'new ' + kind.value);
    out.textContent = points.length < 3 ? facts.prompt
      : '[cameras.' + facts.camera + '.zones.' + name() + ']\nkind = "' + kind.value + '"\npoints = [' + points.map(function (p) { return '[' + p[0].toFixed(3) + ', ' + p[1].toFixed(3) + ']'; }).join(', ') + ']';
  }
  stage.addEventListener('click', function (event) {
    var box = stage.querySelector('img').getBoundingClientRect();
    if (points.length >= 32) return;
    points.push([Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), Math.min(1, Math.max(0, (event.clientY - box.top) / box.height))]);
    show();
  });
  document.querySelector('[data-zone-undo]').addEventListener('click', function () { points.pop(); show(); });
  document.querySelector('[data-zone-clear]').addEventListener('click', function () { points = []; show(); });
  kind.addEventListener('change', show);
})();
