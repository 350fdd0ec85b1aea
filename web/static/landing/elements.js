// Building the page. Text enters only as text nodes: the page's policy forbids turning strings into markup.

/** An element; `props` are DOM properties (`className`), with `data` and `aria` for those attributes. */
export function el(tag, { data = {}, aria = {}, ...props } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** "1:05" for 65 seconds. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Shows `lines` in a form's alert and marks the field that the first error's path ends in; none clears both. */
export function showErrors(form, errors) {
  const alert = form.querySelector(".errors");
  alert.replaceChildren(...errors.map(({ message }) => el("span", {}, message)));
  alert.hidden = errors.length === 0;
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  const names = errors.flatMap(({ path }) => path ?? []);
  const field = names.map((name) => form.elements.namedItem(name)).find((found) => found?.focus);
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
}
