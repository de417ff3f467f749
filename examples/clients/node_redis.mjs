// node-redis sends everything over one connection. So: ask with NOWAIT there, and wait on another one.
//
//   npm install && node node_redis.mjs redis://127.0.0.1:6380 <tenant>
import { createClient } from 'redis';

const [url = 'redis://127.0.0.1:6380', tenant = 'SUPERADMIN_GLOBAL'] = process.argv.slice(2);

// What all requests share. Nothing on it ever waits.
const shared = await createClient({ url }).connect();
// What may wait. Reads that wait hold up each other here, and nothing else; createClientPool gives them more room.
const waiting = await createClient({ url }).connect();

async function dashboard(tenant) {
  try {
    return await shared.sendCommand(['DASHBOARD.GET', tenant, 'NOWAIT']);
  } catch (error) {
    // Nothing is stored yet. It is being computed already; this joins that computation.
    if (!error.message.startsWith('MISS')) throw error;
    return await waiting.sendCommand(['DASHBOARD.GET', tenant]);
  }
}

const began = performance.now();
const reading = dashboard(tenant);
// Sent right behind it, by somebody else in the same process.
await shared.get('x');
console.log(`the neighbour's GET took ${Math.round(performance.now() - began)} ms`);
const bundle = JSON.parse(await reading);
console.log(`the bundle took ${Math.round(performance.now() - began)} ms: ${Object.keys(bundle.stats).length} figures`);
await Promise.all([shared.close(), waiting.close()]);
