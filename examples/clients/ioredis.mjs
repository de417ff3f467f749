// ioredis sends everything over one connection. So: ask with NOWAIT there, and wait on another one. A commandTimeout
// belongs on the shared connection only: on one that waits it must be longer than dashboard.timeout.
//
//   npm install && node ioredis.mjs redis://127.0.0.1:6380 <tenant>
import { Redis } from 'ioredis';

const [url = 'redis://127.0.0.1:6380', tenant = 'SUPERADMIN_GLOBAL'] = process.argv.slice(2);

// What all requests share. Nothing on it ever waits.
const shared = new Redis(url, { commandTimeout: 500 });
// What may wait. Reads that wait hold up each other here, and nothing else.
const waiting = new Redis(url);

async function dashboard(tenant) {
  try {
    return await shared.call('DASHBOARD.GET', tenant, 'NOWAIT');
  } catch (error) {
    // Nothing is stored yet. It is being computed already; this joins that computation.
    if (!error.message.startsWith('MISS')) throw error;
    return await waiting.call('DASHBOARD.GET', tenant);
  }
}

await shared.ping();
const began = performance.now();
const reading = dashboard(tenant);
// Sent right behind it, by somebody else in the same process.
await shared.get('x');
console.log(`the neighbour's GET took ${Math.round(performance.now() - began)} ms`);
const bundle = JSON.parse(await reading);
console.log(`the bundle took ${Math.round(performance.now() - began)} ms: ${Object.keys(bundle.stats).length} figures`);
shared.disconnect();
waiting.disconnect();
