// Starts one simulated identity provider.
//
//   node main.mjs
//
// The first line of standard input is its setup, in JSON:
//
//   {"preset": NAME, "clients": [{…}, …], "tls": {"cert": FILE, "key": FILE, "client_ca": FILE},
//    "clock": SECONDS, "seed": TEXT, "behaviour": {…}}
//
// Everything but the preset may be left out. When it is ready it prints one line of JSON on standard
// output: {"preset", "issuer", "admin", "endpoints": {NAME: URL}, "aliases": {NAME: URL}}. It ends when
// its standard input does. `../README.md` lists presets, switches and admin routes.
import readline from 'node:readline';
import { startAdmin } from './admin.mjs';
import { Simulator } from './simulator.mjs';

const lines = readline.createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.once('line', async (line) => {
  try {
    const simulator = new Simulator(JSON.parse(line));
    await simulator.start();
    const { preset, issuer = null, urls: endpoints, aliases } = simulator;
    const admin = await startAdmin(simulator);
    process.stdout.write(`${JSON.stringify({ preset, issuer, admin, endpoints, aliases })}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
});
