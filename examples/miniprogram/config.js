// Where your back end and the UserSig service are. Here both are `usersig demo`.
module.exports = {
  // In earnest https, and in the list of request domains (README.md).
  service: 'http://127.0.0.1:8080',
  signIn: 'http://127.0.0.1:8080/demo/session',
  // The SDK's proxyServer; empty: Tencent.
  gateway: '',
};
