// What a page is like, as an expression for the browser to evaluate. Lengths are in CSS pixels.
(() => {
  const visible = (element) => element.checkVisibility();
  const every = (selector) => [...document.querySelectorAll(selector)].filter(visible);

  // Colours as the browser computes them: "rgb(1, 2, 3)", with a fourth number where one sees through.
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);
  const opaque = (color) => color.length === 3 || color[3] === 1;
  const paper = (() => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.backgroundColor = "Canvas";
    const color = numbers(getComputedStyle(probe).backgroundColor);
    probe.remove();
    return color;
  })();
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (opaque(color)) return color;
    }
    return paper;
  };
  // WCAG 2.2, "relative luminance" and "contrast ratio".
  const luminance = (color) => {
    const [red, green, blue] = color.slice(0, 3).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const ownText = (element) => [...element.childNodes]
    .filter(({ nodeType }) => nodeType === Node.TEXT_NODE)
    .map(({ data }) => data.trim())
    .join("");
  const texts = every("body *").filter(ownText);

  return {
    title: document.title,
    headings: every("h1").map((heading) => heading.innerText),
    language: document.documentElement.lang,
    landmarks: every("main").length,
    zoom: document.querySelector("meta[name=viewport]").content,
    lowest_contrast: Math.min(...texts.map((element) => (
      contrast(numbers(getComputedStyle(element).color), behind(element))
    ))),
    smallest_target: Math.min(1000, ...every("a, button").map((target) => (
      target.getBoundingClientRect().height
    ))),
    width: document.documentElement.scrollWidth,
    targets: every("a, button").length,
    bytes: performance.getEntries()
      .filter(({ encodedBodySize }) => encodedBodySize > 0)
      .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    inline: document.querySelectorAll("style, [style], script:not([src]), [onclick]").length,
  };
})()
