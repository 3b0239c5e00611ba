// Serves the page with the back end behind it on the same host, which is the simplest way to run it in earnest too.
import { defineConfig } from 'vite';

const backEnd = process.env.USERSIG_DEMO || 'http://127.0.0.1:8080';
const gateway = process.env.USERSIG_GATEWAY || '';
// `usersig demo` answers under its own host name only.
const proxy = { target: backEnd, changeOrigin: true };

export default defineConfig({
  build: { target: 'es2022', chunkSizeWarningLimit: 1000 },
  server: { host: '127.0.0.1', port: 5173, proxy: { '/v1': proxy, '/demo': proxy } },
  plugins: [
    {
      name: 'config.json',
      configureServer(server) {
        server.middlewares.use('/config.json', (_request, response) => {
          response.setHeader('Content-Type', 'application/json');
          response.end(JSON.stringify({ service: '', signIn: '/demo/session', credential: 'cookie', gateway }));
        });
      },
    },
  ],
});
