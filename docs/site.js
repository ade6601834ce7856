// The theme wraps wide tables so that they scroll by themselves: the keyboard must reach them, too (WCAG 2.1.1).
new MutationObserver(() => {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    wrap.tabIndex = 0;
    wrap.setAttribute("role", "group");
    wrap.setAttribute("aria-label", "table, scrolls sideways");
  }
}).observe(document.body, { childList: true, subtree: true });
