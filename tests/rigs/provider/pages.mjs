// The pages that people see: plain, and without anything that a test does not need.

const page = (title, content) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<link rel="icon" href="data:,">
<style>body { font: 1rem/1.5 sans-serif; max-width: 20rem; margin: 15vh auto } input, button {
font: inherit; width: 100%; margin: .25rem 0 1rem; padding: .5rem; box-sizing: border-box }</style>
</head><body><h1>${title}</h1>${content}</body></html>`;

export const loginPage = (path, message) => page('Sign in', `<p id="message">${message}</p>
<form method="post" action="${path}/login">
<label>User <input id="user" name="user" autocomplete="username" autofocus></label>
<label>Password <input id="password" name="password" type="password"></label>
<button id="sign-in">Sign in</button></form>
<form method="post" action="${path}/cancel"><button id="cancel">Cancel</button></form>`);

// The engine's form holds its anti-forgery token; `logout=yes` ends the provider's own session too.
export const logoutPage = (form, pressesItself) => page('Sign out', `${form}
<button id="sign-out" form="op.logoutForm" name="logout" value="yes">Sign out</button>
${pressesItself ? "<script>document.getElementById('sign-out').click()</script>" : ''}`);

export const signedOutPage = page('Signed out', '<p>You are signed out of the provider.</p>');
