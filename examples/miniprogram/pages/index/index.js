// The one page: sign in, chat, sign out.
const im = require('../../utils/im.js');
const { explain, explainKick } = require('../../utils/texts.js');
const { TicketError, isExpired } = require('../../utils/usersig.js');

const { language } = wx.getAppBaseInfo ? wx.getAppBaseInfo() : wx.getSystemInfoSync();
const LANGUAGE = /^zh/i.test(language) ? 'zh' : 'en';

const STATUS = {
  'signed-out': '未登录 · Not signed in',
  'connecting': '正在连接… · Connecting…',
  'online': '已连接 · Online',
  'ended': '连接已结束 · Disconnected',
};

Page({
  data: { state: 'signed-out', status: STATUS['signed-out'], problem: '', user: 'alice', me: '', peer: 'bob', text: '', messages: [] },

  onUser({ detail }) {
    this.setData({ user: detail.value });
  },
  onPeer({ detail }) {
    this.setData({ peer: detail.value });
  },
  onText({ detail }) {
    this.setData({ text: detail.value });
  },

  async onSignIn() {
    this.show('connecting');
    try {
      await im.signIn(this.data.user);
    } catch (error) {
      this.show('signed-out', explain(error, LANGUAGE));
      return;
    }
    await this.onAgain();
  },

  async onAgain() {
    this.show('connecting');
    // Still in its field, for the person to send or not.
    this.unsent = undefined;
    try {
      const { ticket } = await im.enter({
        onMessage: (message) => this.append(message),
        onRenewed: () => this.renewed(),
        onEnded: ({ kicked, error }) => this.over(error, error ? explain(error, LANGUAGE) : explainKick(kicked, LANGUAGE)),
      });
      this.setData({ me: ticket.userId });
      this.show('online');
    } catch (error) {
      this.over(error, explain(error, LANGUAGE));
    }
  },

  async onSend() {
    await this.send(this.data.peer, this.data.text);
  },

  async onSignOut() {
    await this.leave();
    this.show('signed-out');
  },

  async send(to, content) {
    try {
      this.append(await im.send(to, content));
      this.setData({ text: '', problem: '' });
    } catch (error) {
      // The text stays in its field, and goes out when the ticket has been renewed.
      if (isExpired(error)) this.unsent = { to, content };
      else this.setData({ problem: explain(error, LANGUAGE) });
    }
  },

  /** Quietly: a person need not know that tickets expire. */
  async renewed() {
    const held = this.unsent;
    this.unsent = undefined;
    if (!held) return;
    await im.whenReady();
    await this.send(held.to, held.content);
  },

  async leave() {
    this.unsent = undefined;
    this.setData({ messages: [] });
    await im.signOut();
  },

  append(message) {
    this.setData({ messages: [...this.data.messages, message] });
  },

  /** The sign-in form where signing in helps, a button to try again everywhere else. */
  over(error, problem) {
    const signIn = error instanceof TicketError && (error.reason === 'signed_out' || error.code === 'user_mismatch');
    if (signIn) this.leave();
    this.show(signIn ? 'signed-out' : 'ended', problem);
  },

  show(state, problem = '') {
    this.setData({ state, status: STATUS[state], problem });
  },
});
