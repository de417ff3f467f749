// What goes wrong without NOWAIT: the same neighbour, behind a read that waits on the connection that all share.
//
//   npm install && node shared_connection.mjs redis://127.0.0.1:6380 <tenant>
import { createClient } from 'redis';

const [url = 'redis://127.0.0.1:6380', tenant = 'SUPERADMIN_GLOBAL'] = process.argv.slice(2);
const shared = await createClient({ url }).connect();
const began = performance.now();
const reading = shared.sendCommand(['DASHBOARD.GET', tenant]).catch((error) => error.message);
await shared.get('x');
console.log(`the neighbour's GET took ${Math.round(performance.now() - began)} ms`);
await reading;
await shared.close();
