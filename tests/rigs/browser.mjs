// One Chromium, driven by a test over standard input and output.
//
//   node browser.mjs [--ca FILE]…
//
// It prints `{"ready": VERSION}`, then reads one command per line, a JSON object whose "do" names
// an entry of `commands` below, and answers each with one line, in order: `{"ok": VALUE}` or
// `{"error": TEXT}`. It ends when its standard input does, and takes the browser and everything the
// browser wrote along. README.md lists the commands.
//
// The certificate authorities go into a key database of this browser's own, so certificates are
// checked as for anybody: a wrong name or an unknown issuer stays an error. Names under `.test`
// lead to loopback.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options } = parseArgs({
  options: { ca: { type: 'string', multiple: true, default: [] } },
});

const home = mkdtempSync(path.join(tmpdir(), 'lychgate-browser-'));
// The profile goes to the temporary folder; in the home, one removal is enough.
process.env.TMPDIR = home;
const removeHome = () => rmSync(home, { recursive: true, force: true, maxRetries: 5 });
process.on('exit', removeHome);

const keys = path.join(home, '.pki/nssdb');
mkdirSync(keys, { recursive: true });
const certutil = (...rest) => {
  execFileSync('certutil', ['-d', `sql:${keys}`, ...rest], { stdio: 'pipe' });
};
certutil('-N', '--empty-password');
options.ca.forEach((file, index) => certutil('-A', '-t', 'C,,', '-n', `test-${index}`, '-i', file));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  env: { ...process.env, HOME: home },
  args: [
    '--host-resolver-rules=MAP *.test 127.0.0.1',
    // Nothing but what a page asks for may use the network.
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-default-apps',
    '--disable-sync',
    '--disable-quic',
    '--disable-gpu',
    '--no-first-run',
  ],
});

// What a test refers to by a name: "c1" is a context, a person with their own cookies, and "p2" a
// page of theirs.
const contexts = new Map();
const pages = new Map();
const found = (map, what, name) => {
  const entry = map.get(name);
  if (!entry) throw new Error(`there is no ${what} ${name}`);
  return entry;
};
const contextOf = ({ context }) => found(contexts, 'context', context);
const entryOf = ({ page }) => found(pages, 'page', page);
const pageOf = (command) => entryOf(command).page;

let axeSource;
const axe = () => {
  axeSource ??= readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  return axeSource;
};

let count = 0;
function watch(page) {
  const entry = { page, errors: [], requests: [] };
  page.on('console', (message) => {
    if (message.type() === 'error') {
      entry.errors.push({ kind: 'console', text: message.text(), url: message.location().url });
    }
  });
  page.on('pageerror', (error) => {
    entry.errors.push({ kind: 'exception', text: error.message, url: page.url() });
  });
  page.on('request', (request) => entry.requests.push(request.url()));
  page.on('websocket', (socket) => entry.requests.push(socket.url()));
  count += 1;
  pages.set(`p${count}`, entry);
  return `p${count}`;
}

const landed = (page, response) => ({ url: page.url(), status: response?.status() ?? null });

const commands = {
  async new_context({ locale, color_scheme, javascript = true, headers, viewport }) {
    const context = await browser.newContext({
      locale,
      colorScheme: color_scheme,
      javaScriptEnabled: javascript,
      extraHTTPHeaders: headers,
      viewport,
    });
    context.setDefaultTimeout(20_000);
    count += 1;
    contexts.set(`c${count}`, context);
    return `c${count}`;
  },
  async close_context(command) {
    await contextOf(command).close();
    contexts.delete(command.context);
  },
  cookies: (command) => contextOf(command).cookies(command.url),
  clear_cookies: (command) => contextOf(command).clearCookies(),
  new_page: async (command) => watch(await contextOf(command).newPage()),
  async close_page(command) {
    await pageOf(command).close();
    pages.delete(command.page);
  },

  async goto(command) {
    const page = pageOf(command);
    try {
      return landed(page, await page.goto(command.url));
    } catch (error) {
      // The browser's own error page is on its way, and would cut the next navigation short.
      if (error.message.includes('net::ERR_')) {
        await page.waitForURL(/^chrome-error:/, { timeout: 1000 }).catch(() => {});
      }
      throw error;
    }
  },
  async back(command) {
    const page = pageOf(command);
    return landed(page, await page.goBack());
  },
  async reload(command) {
    const page = pageOf(command);
    return landed(page, await page.reload());
  },
  click: (command) => pageOf(command).click(command.selector),
  fill: (command) => pageOf(command).fill(command.selector, command.text),
  press: (command) => pageOf(command).keyboard.press(command.key),
  async wait_for_url({ contains, matches, ...command }) {
    const page = pageOf(command);
    const pattern = matches === undefined ? null : new RegExp(matches);
    await page.waitForURL(({ href }) => (pattern ? pattern.test(href) : href.includes(contains)));
    return page.url();
  },
  async emulate({ color_scheme, viewport, ...command }) {
    const page = pageOf(command);
    if (color_scheme) await page.emulateMedia({ colorScheme: color_scheme });
    if (viewport) await page.setViewportSize(viewport);
  },
  async wait_for(command) {
    await pageOf(command).waitForSelector(command.selector);
  },

  url: (command) => pageOf(command).url(),
  title: (command) => pageOf(command).title(),
  text: (command) => pageOf(command).innerText(command.selector ?? 'body'),
  content: (command) => pageOf(command).content(),
  // An expression; a promise is waited for.
  eval: (command) => pageOf(command).evaluate(command.js),
  // What axe objects to, by the rules of WCAG 2.2 A and AA: a line for each.
  async axe(command) {
    const page = pageOf(command);
    await page.evaluate(axe());
    return page.evaluate(async () => {
      const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
      const { passes, violations } = await window.axe.run(document, {
        runOnly: [...tags, 'best-practice'],
        resultTypes: ['violations', 'passes'],
      });
      // A page on which axe finds nothing to look at was not looked at.
      if (passes.length < 10) return [`only ${passes.length} rules were about this page`];
      return violations.map(({ id, help, nodes }) => (
        `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`
      ));
    });
  },
  async screenshot(command) {
    await pageOf(command).screenshot({ path: command.path, fullPage: true });
  },
  errors: (command) => entryOf(command).errors,
  requests: (command) => entryOf(command).requests,
};

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
say({ ready: browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { do: name, ...command } = JSON.parse(line);
    if (!Object.hasOwn(commands, name)) throw new Error(`there is no command ${name}`);
    say({ ok: (await commands[name](command)) ?? null });
  } catch (error) {
    say({ error: stripVTControlCharacters(error.message) });
  }
}
await browser.close();
process.exit(0);
