// An Express application with Passport logins whose sessions connect-redis keeps, and a route that says who is logged in.
'use strict';

const express = require('express');
const session = require('express-session');
const passport = require('passport');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');

const { REDIS_URL, SESSION_SECRETS, COOKIE = 'connect.sid' } = process.env;

async function main() {
  const client = createClient({ url: REDIS_URL });
  await client.connect();

  passport.serializeUser((user, done) => done(null, user.id));
  passport.deserializeUser((id, done) => done(null, { id }));

  const app = express();
  app.use(express.json());
  app.use(session({
    name: COOKIE,
    secret: JSON.parse(SESSION_SECRETS),
    store: new RedisStore({ client }),
    resave: false,
    saveUninitialized: false,
  }));
  app.use(passport.session());

  app.post('/login', (req, res, next) => {
    req.login({ id: req.body.user }, (error) => (error ? next(error) : res.json({})));
  });
  app.post('/logout', (req, res, next) => {
    req.logout((error) => (error ? next(error) : req.session.destroy(() => res.json({}))));
  });
  // A visitor with something in the basket, whom nobody knows.
  app.post('/visit', (req, res) => {
    req.session.basket = ['book'];
    res.json({});
  });
  app.get('/me', (req, res) => {
    if (!req.isAuthenticated()) return res.status(401).json({});
    return res.json({ id: req.user.id, rooms: [7, 'lobby'] });
  });

  const server = app.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
}

process.stdin.resume().on('end', () => process.exit());
main();
