// The page's elements, by their ids.
const byId = (id) => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found;
};

export const element = new Proxy({}, { get: (_, id) => byId(id) });

/** An element with text. */
export function made(name, text = "", className = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}
