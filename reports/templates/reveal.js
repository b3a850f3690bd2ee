// A link opens what it leads into: a tab, a closed block, a row that a filter hides. In print every block is open.
'use strict';
(() => {
  function reveal() {
    let id;
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      return; // no link of this page
    }
    const target = id && document.getElementById(id);
    if (!target) return;
    const form = document.querySelector('form.filters');
    if (form && target.closest('[hidden]')) {
      form.reset();
      form.dispatchEvent(new Event('input'));
    }
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === 'DETAILS') at.open = true;
      if (at.classList.contains('panel')) document.getElementById(at.dataset.tab).checked = true;
    }
    target.scrollIntoView();
  }

  addEventListener('hashchange', reveal);
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) reveal(); // no change of the hash, so no event
  });
  addEventListener('beforeprint', () => {
    for (const details of document.querySelectorAll('details')) details.open = true;
  });
  reveal();
})();
