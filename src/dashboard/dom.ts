/**
 * Dom: how the pages make elements. Whatever comes from a model, a tool, a file or a person becomes
 * text; nothing here, nor in any other module of the pages, turns a text into markup.
 */

type Attributes = Readonly<Record<string, string | boolean>>

export const el = <Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Node | string>
): HTMLElementTagNameMap[Name] => {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "")
    else if (value !== false) element.setAttribute(key, value)
  }
  element.append(...children)
  return element
}

/** What the page has under this id. The pages and their scripts come from one server, so a missing one is a broken build. */
export const byId = <E extends HTMLElement>(id: string, kind: abstract new () => E): E => {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new TypeError(`the page has no ${kind.name} "${id}"`)
  return found
}

/** Empty: nothing is wrong any more. */
export const trouble = (text: string): void => {
  const notice = byId("trouble", HTMLElement)
  notice.hidden = text === ""
  notice.textContent = text
}
