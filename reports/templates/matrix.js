// The page without this has everything, in the ledger's order. This sorts and filters.
'use strict';
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- filter: every row and block that is about one target ---
  const form = document.querySelector('.filters');
  const shown = document.querySelector('.shown');
  const about = all('[data-target]');
  const listed = all('table.targets tbody tr');

  function matches(row, words, chosen) {
    const text = row.textContent.toLowerCase();
    return words.every((word) => text.includes(word)) &&
      chosen.every(([name, value]) => (row.dataset[name] || '').split(' ').includes(value));
  }

  function filter() {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = all('select', form).map((select) => [select.name, select.value]).filter(([, value]) => value);
    const kept = new Set(listed.filter((row) => matches(row, words, chosen)).map((row) => row.dataset.target));
    for (const element of about) element.hidden = !kept.has(element.dataset.target);
    shown.textContent = kept.size === listed.length ? `all ${listed.length} targets`
      : `${kept.size} of ${listed.length} targets, here and in every table below`;
  }

  function clear() {
    form.reset();
    filter();
  }

  form.hidden = false;
  form.addEventListener('input', filter);
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(filter));
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && form.contains(document.activeElement)) clear();
    if (event.key === '/' && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      form.elements.words.focus();
    }
  });

  // --- sort: by a click on a heading; up, down, and as it was ---
  const next = { none: 'ascending', ascending: 'descending', descending: 'none' };

  function value(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = text === '' ? NaN : Number(text);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (a === b) return 0;
    if (a === '' || b === '') return a === '' ? 1 : -1; // what is empty stands last
    if (typeof a === typeof b) return typeof a === 'number' ? a - b : a.localeCompare(b, 'en', { numeric: true });
    return typeof a === 'number' ? -1 : 1;
  }

  function sort(table, heading, original) {
    const direction = next[heading.getAttribute('aria-sort') || 'none'];
    for (const other of heading.parentElement.cells) other.removeAttribute('aria-sort');
    if (direction !== 'none') heading.setAttribute('aria-sort', direction);
    const sign = direction === 'descending' ? -1 : 1;
    const column = heading.cellIndex;
    const rows = direction === 'none' ? original : [...original].sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return x === '' || y === '' ? compare(x, y) : sign * compare(x, y);
    });
    table.tBodies[0].append(...rows);
  }

  for (const table of all('table.sortable')) {
    const original = [...table.tBodies[0].rows];
    for (const heading of table.tHead.rows[table.tHead.rows.length - 1].cells) {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener('click', () => sort(table, heading, original));
    }
  }

  filter();
})();
