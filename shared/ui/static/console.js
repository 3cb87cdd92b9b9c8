/* Live parts, keys, drop and paste. Every page reads and every form posts without it. */
(function () {
  'use strict';
  var root = document.documentElement, body = document.body;
  root.classList.add('js');

  function all(selector, within) { return Array.prototype.slice.call((within || document).querySelectorAll(selector)); }
  function one(selector, within) { return (within || document).querySelector(selector); }

  // ---- theme: the cookie is read by the server, so that no page flashes
  document.addEventListener('click', function (event) {
    var button = event.target.closest('[data-theme-toggle]');
    if (!button) return;
    event.preventDefault();
    var theme = getComputedStyle(root).colorScheme.indexOf('dark') === 0 ? 'light' : 'dark';
    root.setAttribute('data-theme', theme);
    document.cookie = 'emberlink_theme=' + theme + ';path=/;max-age=31536000;samesite=lax';
  });

  // ---- time: ages grow between updates, also when no update comes
  // From when the page was asked for, not from when this runs: nothing slow must make a picture look younger.
  var loading = performance.getEntriesByType('navigation')[0];
  var ahead_ms = performance.timeOrigin + (loading ? loading.requestStart : performance.now()) - 1000 * parseFloat(body.dataset.now);
  function words(unit, value) { return body.dataset[unit].replace('#', value); }
  function age(seconds) {
    if (seconds < 9.95) return Math.max(0, seconds).toFixed(1) + '\u00a0s';
    var whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    if (hours) return words('h', hours) + ' ' + words('min', minutes);
    return minutes ? words('min', minutes) + (whole % 60 ? ' ' + words('s', whole % 60) : '') : words('s', whole);
  }
  function tick() {
    var now_ms = Date.now() - ahead_ms;
    all('.age[data-at]').forEach(function (node) { node.textContent = age(now_ms / 1000 - parseFloat(node.dataset.at)); });
    var clock = one('time.clock');
    if (clock) clock.textContent = local(clock, now_ms);
  }
  function local(clock, at_ms) {
    var zone = /([+-])(\d\d):(\d\d)$/.exec(clock.getAttribute('datetime'));
    var shift_ms = zone ? (zone[1] === '-' ? -1 : 1) * (60 * zone[2] + +zone[3]) * 60000 : 0;
    return new Date(at_ms + shift_ms).toISOString().slice(11, 19);
  }
  setInterval(tick, 1000);

  // ---- live parts: what differs is changed in place, so that focus, scroll and running motion stay
  var is_pointer_down = false;
  document.addEventListener('pointerdown', function () { is_pointer_down = true; });
  ['pointerup', 'pointercancel'].forEach(function (name) { document.addEventListener(name, function () { is_pointer_down = false; }); });

  function is_far(tile) { // a screen away: of many cameras most are, and their pictures are the cost of the wall
    var box = tile.getBoundingClientRect();
    return box.bottom < -innerHeight || box.top > 2 * innerHeight;
  }
  function stays(old, fresh) { return /^tile-/.test(old.id) && old.id === fresh.id && old.className === fresh.className && is_far(old); }

  function become(old, fresh) {
    if (old.isEqualNode(fresh) || stays(old, fresh)) return;
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id && old.nodeType === 1 && !/^tile-/.test(old.id)) { old.replaceWith(fresh); return; }
    if (old.nodeType !== 1) { old.data = fresh.data; return; }
    all_names(old, fresh).forEach(function (name) {
      var value = fresh.getAttribute(name);
      if (value === null) old.removeAttribute(name); else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    });
    if (old.dataset.chart && fresh.dataset.chart) return; // what is drawn in it stays until it is drawn anew
    var mine = Array.prototype.slice.call(old.childNodes), theirs = Array.prototype.slice.call(fresh.childNodes);
    theirs.forEach(function (node, i) { if (mine[i]) become(mine[i], node); else old.appendChild(node); });
    mine.slice(theirs.length).forEach(function (node) { node.remove(); });
  }
  function all_names(a, b) { return a.getAttributeNames().concat(b.getAttributeNames()); }

  function loaded(source) {
    var image = new Image();
    image.src = source;
    return image.decode().catch(function () { });
  }
  function update(text) {
    var fresh = new DOMParser().parseFromString(text, 'text/html');
    var pictures = all('img[src]', fresh).filter(function (image) {
      var tile = image.closest('.tile'), old = tile && document.getElementById(tile.id);
      return !old || !stays(old, tile);
    }).map(function (image) { return image.getAttribute('src'); });
    var shown = all('img[src]').map(function (image) { return image.getAttribute('src'); });
    var waited = new Promise(function (done) { setTimeout(done, 1500); });
    var coming = Promise.all(pictures.filter(function (source) { return source && shown.indexOf(source) < 0; }).map(loaded));
    Promise.race([coming, waited]).then(function () {
      if (is_pointer_down) return;
      all('[data-live]', fresh).forEach(function (node) {
        var old = document.getElementById(node.id);
        if (old) become(old, document.adoptNode(node));
      });
      var title = one('[data-title]');
      if (title) document.title = title.dataset.title + ' · Emberlink';
      document.dispatchEvent(new Event('console:updated'));
      tick();
    });
  }
  function tell(answer) { // an error that the gate or a route tells as JSON
    var words;
    try { words = JSON.parse(answer.responseText).err_msg; } catch (error) { return false; }
    var note = document.createElement('div');
    note.className = 'toast trouble';
    note.textContent = words;
    one('#toast').replaceChildren(note);
    return true;
  }
  document.addEventListener('htmx:beforeSwap', function (event) {
    var answer = event.detail.xhr, target = event.detail.target.id, is_live = target === 'stage' || target === 'pulse';
    var is_page = /HX-Request/.test(answer.getResponseHeader('Vary')); // not a proxy's word for a service that is away
    if (is_live) event.detail.shouldSwap = false;
    if (is_live && answer.status === 200) update(answer.responseText);
    else if (target === 'pulse') lost();
    else if (!is_page && answer.status !== 204) { event.detail.shouldSwap = false; if (!tell(answer)) lost(); }
    else if (target === 'stage') one('#toast').innerHTML = answer.responseText;
    else if (answer.status >= 400) event.detail.shouldSwap = true;
    if (target === 'stage') mark_frame();
  });
  document.addEventListener('htmx:afterRequest', function (event) { if (event.detail.successful) connected(); });
  ['htmx:sendError', 'htmx:timeout'].forEach(function (name) { document.addEventListener(name, lost); });

  var lost_since = null;
  function lost() {
    var note = one('.offline');
    if (lost_since !== null || !note) return;
    lost_since = Date.now();
    var clock = one('time.clock');
    note.textContent = note.dataset.text.replace('#', local(clock, lost_since - ahead_ms));
    note.hidden = false;
    body.classList.add('is-offline');
  }
  function connected() {
    if (lost_since === null) return;
    lost_since = null;
    one('.offline').hidden = true;
    body.classList.remove('is-offline');
  }

  var scroll_timer = 0;
  document.addEventListener('scroll', function () { // what comes into sight is as old as it says for a moment only
    clearTimeout(scroll_timer);
    if (one('.wall')) scroll_timer = setTimeout(function () { htmx.trigger('#pulse', 'now'); }, 100);
  });

  // ---- messages go away by themselves; an undo is offered for ten seconds
  var toast_timer = 0;
  document.addEventListener('htmx:afterSwap', function (event) {
    if (event.detail.target.id === 'tried') { var tried = one('#tried'); if (tried) tried.focus({ preventScroll: true }); }
    if (event.detail.target.id !== 'toast') return;
    clearTimeout(toast_timer);
    toast_timer = setTimeout(function () { one('#toast').textContent = ''; }, 10000);
    if (one('#pulse')) htmx.trigger('#pulse', 'now');
    if (one('.card')) fetch(location.href).then(function (answer) { return answer.text(); }).then(refresh_cards);
  });

  // ---- the frames of an event: strip, slider and picture are one
  function go_to_frame(index) {
    var slider = one('#slider');
    if (!slider) return false;
    slider.value = index;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    return true;
  }
  function mark_frame() {
    var at = +one('#slider').value, best = null;
    all('[data-frame]').forEach(function (node) {
      if (best === null || Math.abs(node.dataset.frame - at) < Math.abs(best.dataset.frame - at)) best = node;
      node.removeAttribute('aria-current');
    });
    if (!best) return;
    best.setAttribute('aria-current', 'true');
    best.parentNode.scrollLeft = best.offsetLeft - best.parentNode.offsetLeft - (best.parentNode.clientWidth - best.clientWidth) / 2;
  }
  if (one('#slider')) mark_frame(); // a phone shows a part of the strip
  document.addEventListener('click', function (event) {
    var frame = event.target.closest('[data-frame]');
    if (!frame || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go_to_frame(+frame.dataset.frame);
  });

  // ---- cards: one is chosen, keys act on it
  function choose_card(step) {
    var cards = all('.card'), now = cards.indexOf(one('.card.sel'));
    if (!cards.length) return false;
    var next = cards[Math.max(0, Math.min(cards.length - 1, now + step))];
    if (now >= 0) cards[now].classList.remove('sel');
    next.classList.add('sel');
    next.scrollIntoView({ block: 'nearest' });
    return true;
  }
  function refresh_cards(text) {
    var fresh = new DOMParser().parseFromString(text, 'text/html');
    all('.card').forEach(function (card) {
      var next = one('.card[data-event="' + card.dataset.event + '"]', fresh);
      if (!next) return;
      if (card.classList.contains('sel')) next.classList.add('sel');
      become(card, document.adoptNode(next));
    });
  }
  document.addEventListener('change', function (event) {
    if (event.target.matches('[data-filters] select')) one('[data-apply]').click();
  });
  if (one('[data-filters]')) choose_card(1);

  // ---- keys
  var is_going = false;
  function press(node) {
    if (!node) return false;
    node.click();
    return true;
  }
  function on_page_key(key) {
    if (/^[1-9]$/.test(key)) return press(one('[data-camera="' + key + '"]'));
    if (key === 'Enter') return press(one('.card.sel [data-key="Enter"]') || one('[data-key="Enter"]'));
    if (one('.card') && (key === 'j' || key === 'k')) return choose_card(key === 'j' ? 1 : -1);
    if (key === 'ArrowLeft' || key === 'ArrowRight') { var slider = one('#slider'); return !!slider && go_to_frame(+slider.value + (key === 'ArrowLeft' ? -1 : 1)); }
    if (key === 'Escape') return press(one('[data-back]'));
    if (key === 'Home') return !!one('#slider') && go_to_frame(one('#slider').dataset.origin);
    if (key === 'v') return paste();
    var overlays = all('[data-overlay="' + key + '"]');
    overlays.forEach(function (node) { node.classList.toggle('is-bare'); });
    if (overlays.length) return true;
    return press(one('.card.sel [data-key="' + key + '"]') || one('[data-key="' + key + '"]'));
  }
  document.addEventListener('keydown', function (event) {
    var at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName) && !/^(range|file|checkbox)$/.test(at.type)) return;
    if (at.type === 'range' && /^Arrow/.test(event.key)) return;
    if (event.key === 'Enter' && at.closest('a,button,label,[role=button]')) return;
    if (one('dialog[open]')) return;
    var key = event.key.length === 1 ? event.key.toLowerCase() : event.key, done = false;
    if (key === '?') { one('#keys').showModal(); done = true; }
    else if (is_going) { is_going = false; done = press(one('[data-go="' + key + '"]')); }
    else if (key === 'g') is_going = done = true;
    else done = on_page_key(key);
    if (done) event.preventDefault();
  });

  // ---- a picture for Try: chosen, dropped or pasted
  function send(files) {
    var input = one('#try-file input[type=file]');
    if (!input || !files.length) return;
    var taken = new DataTransfer();
    Array.prototype.slice.call(files, 0, input.multiple ? files.length : 1).forEach(function (file) { taken.items.add(file); });
    input.files = taken.files;
    input.form.requestSubmit();
  }
  function paste() {
    if (!one('#try-file') || !navigator.clipboard || !navigator.clipboard.read) return false;
    navigator.clipboard.read().then(function (items) {
      items.forEach(function (item) {
        var type = item.types.filter(function (name) { return /^image\//.test(name); })[0];
        if (type) item.getType(type).then(function (blob) { send([new File([blob], 'pasted', { type: type })]); });
      });
    }).catch(function () { });
    return true;
  }
  document.addEventListener('change', function (event) {
    if (event.target.matches('[data-send]')) event.target.form.requestSubmit();
  });
  document.addEventListener('paste', function (event) { if (event.clipboardData) send(event.clipboardData.files); });
  ['dragover', 'dragleave', 'drop'].forEach(function (name) {
    document.addEventListener(name, function (event) {
      var zone = one('[data-drop]');
      if (!zone) return;
      event.preventDefault();
      zone.classList.toggle('is-over', name === 'dragover');
      if (name === 'drop') send(event.dataTransfer.files);
    });
  });
})();
