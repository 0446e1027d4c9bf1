"use strict";
// Filters and sorts the list of tensors. Everything is on the page without it.
(() => {
  const tools = document.getElementById("tools");
  if (!tools) return;
  const list = document.getElementById("list");
  const items = Array.from(list.children);
  const shown = document.getElementById("shown");
  const find = document.getElementById("find");
  const order = document.getElementById("order");
  const show = () => {
    const text = find.value.trim().toLowerCase();
    let count = 0;
    for (const item of items) {
      const fits = item.dataset.name.toLowerCase().includes(text);
      item.hidden = !fits;
      if (fits) count += 1;
    }
    shown.textContent = `${count} of ${items.length} shown`;
  };
  // What has no value comes last.
  const value = (item, key) => (key in item.dataset ? Number(item.dataset[key]) : Infinity);
  const sort = () => {
    const key = order.value;
    const sorted = items.slice();
    if (key) sorted.sort((a, b) => value(a, key) - value(b, key));
    list.append(...sorted);
  };
  find.addEventListener("input", show);
  order.addEventListener("change", sort);
  tools.hidden = false;
  show();
})();
