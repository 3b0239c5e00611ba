// Signs in at your back end, and keeps chat logged in with UserSigs of that session.
const TencentCloudChat = require('@tencentcloud/chat');
const config = require('../config.js');
const transport = require('./transport.js');
const { createTickets, withLogin } = require('./usersig.js');

// In memory only: wx.login() gets a new session without asking the person anything.
let token = '';
let chat;
let login;
// tim-wx-sdk cannot be asked for it.
let isReady = false;

const tickets = createTickets({
  service: config.service,
  // A mini-program has no cookies of its own: the token travels in a header. For a header of another name
  // write { header: 'X-Token', token: () => token }.
  credential: { bearer: () => token },
  transport,
});

/**
 * Your back end's own sign-in. In earnest it gets the code of wx.login(), asks WeChat who that is (jscode2session), and
 * answers with a token of its own; the demo takes the user's word for it.
 */
function signIn(userId) {
  return new Promise((resolve, reject) => {
    wx.request({
      url: config.signIn,
      method: 'POST',
      data: { userId },
      success: ({ statusCode, data }) => {
        if (statusCode !== 200) return reject(new Error((data && data.detail) || `HTTP ${statusCode}`));
        token = data.token;
        return resolve();
      },
      fail: ({ errMsg }) => reject(new Error(errMsg)),
    });
  });
}

/** Logs in to chat, and resolves once it is ready. `handlers` are usersig.js's, and onMessage. */
async function enter({ onMessage, ...handlers }) {
  // A new one even at a second try: the remembered one may be why the first failed, as after a change of the app's secret.
  const { sdkAppId } = await tickets.renew();
  if (!chat) {
    chat = TencentCloudChat.create({ SDKAppID: sdkAppId, ...(config.gateway && { proxyServer: config.gateway }) });
    chat.setLogLevel(2);
    chat.on(TencentCloudChat.EVENT.SDK_READY, () => (isReady = true));
    chat.on(TencentCloudChat.EVENT.SDK_NOT_READY, () => (isReady = false));
    chat.on(TencentCloudChat.EVENT.MESSAGE_RECEIVED, ({ data }) => data.forEach(onMessage));
  }
  const ready = whenReady();
  login = await withLogin(chat, tickets, handlers);
  await ready;
  return login;
}

function whenReady() {
  if (isReady) return Promise.resolve();
  return new Promise((resolve) => {
    chat.on(TencentCloudChat.EVENT.SDK_READY, function ready() {
      chat.off(TencentCloudChat.EVENT.SDK_READY, ready);
      resolve();
    });
  });
}

async function send(to, text) {
  const message = chat.createTextMessage({ to, conversationType: TencentCloudChat.TYPES.CONV_C2C, payload: { text } });
  const { data } = await chat.sendMessage(message);
  return data.message;
}

/** Leaves nothing of this user behind. */
async function signOut() {
  token = '';
  tickets.clear();
  const [left, used] = [login, chat];
  login = chat = undefined;
  isReady = false;
  if (left) await left.logout();
  // It logs out once more, and rejects because nobody is logged in.
  if (used) await used.destroy().catch(() => undefined);
}

module.exports = { signIn, enter, whenReady, send, signOut };
