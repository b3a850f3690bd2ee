// The page without this has everything, in the ledger's order. This filters what the page's form is about, by the name
// in its data-by (a row has it in data-target, or data-case), and sorts tables.
'use strict';
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- filter: every row and block that is about one target, or one case ---
  const form = document.querySelector('.filters');
  if (form) filterBy(form, form.dataset.by, document.querySelector('.shown'));

  function filterBy(form, by, shown) {
    const about = all(`[data-${by}]`);
    const listed = all('table.listed tbody tr');

    function matches(row, words, chosen) {
      const text = [row.textContent, row.dataset.words, row.dataset.mistake].join(' ').toLowerCase();
      return words.every((word) => text.includes(word)) &&
        chosen.every(([name, value]) => (row.dataset[name] || '').split(' ').includes(value));
    }

    function filter() {
      const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = all('select', form).map((select) => [select.name, select.value]).filter(([, value]) => value);
      const kept = new Set(listed.filter((row) => matches(row, words, chosen)).map((row) => row.dataset[by]));
      for (const element of about) element.hidden = !kept.has(element.dataset[by]);
      shown.textContent = kept.size === listed.length ? `all ${listed.length} ${by}s`
        : `${kept.size} of ${listed.length} ${by}s, here and in every table below`;
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
    filter();
  }

  // --- sort: by a click on a heading; up, down, and as it was ---
  const next = { none: 'ascending', ascending: 'descending', descending: 'none' };

  const raised = '⁻⁰¹²³⁴⁵⁶⁷⁸⁹';

  // The number that a cell begins with, as people read it: 9,691 or −1.4×10⁻⁷ or ∞; '' where it has none.
  function number(text) {
    const [, sign, digits, power] = /^([−-]?)(∞|[\d,]+(?:\.\d+)?)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?/.exec(text) || [];
    if (digits === undefined) return '';
    const size = digits === '∞' ? Infinity : Number(digits.replaceAll(',', ''));
    const exponent = [...power || ''].map((each) => '-0123456789'[raised.indexOf(each)]).join('');
    return (sign ? -1 : 1) * size * 10 ** Number(exponent);
  }

  function value(row, column) {
    const cell = row.cells[column];
    const text = cell.textContent.trim();
    if (cell.dataset.value === undefined) return cell.classList.contains('num') ? number(text) : text.toLowerCase();
    const given = cell.dataset.value === '' ? NaN : Number(cell.dataset.value);
    return Number.isNaN(given) ? cell.dataset.value.toLowerCase() : given;
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
    table.classList.toggle('sorted', direction !== 'none');
    const last = rows.filter((row) => row.classList.contains('aside')); // what the others are held against
    table.tBodies[0].append(...rows.filter((row) => !last.includes(row)), ...last);
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
})();
