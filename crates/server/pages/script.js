// A browser keeps the part of an address after "#" to itself. Applications that route by it would lose
// their place at sign-in, so it is handed to our own links, which bring it back. Without this script
// everything works but that.
"use strict";

for (const link of document.querySelectorAll("a[data-continue]")) {
  // The address is the page's own. It is only ever added to, and only where it stays on this site.
  if (link.origin !== location.origin) continue;
  if (location.hash.length > 1 && location.hash.length <= 1024) {
    const separator = link.search ? "&" : "?";
    link.hash = "";
    link.href = link.href.replace(/#$/, "") + separator + "fragment=" + encodeURIComponent(location.hash);
  }
  if (link.dataset.continue === "now") location.replace(link.href);
}
