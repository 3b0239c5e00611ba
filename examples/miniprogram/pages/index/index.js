// The one page: sign in, chat, sign out.
const im = require('../../utils/im.js');
const { explain, explainEnd } = require('../../utils/texts.js');
const { TicketError } = require('../../utils/usersig.js');

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
      this.show('signed-out', explain(error));
      return;
    }
    await this.onAgain();
  },

  async onAgain() {
    this.show('connecting');
    try {
      const { ticket } = await im.enter({
        onMessage: (message) => this.append(message),
        onEnded: (end) => this.over(end.error, explainEnd(end)),
      });
      this.setData({ me: ticket.userId });
      this.show('online');
    } catch (error) {
      this.over(error, explain(error));
    }
  },

  async onSend() {
    try {
      this.append(await im.send(this.data.peer, this.data.text));
      this.setData({ text: '', problem: '' });
    } catch (error) {
      this.setData({ problem: explain(error) });
    }
  },

  async onSignOut() {
    await im.signOut();
    this.setData({ messages: [] });
    this.show('signed-out');
  },

  append(message) {
    this.setData({ messages: [...this.data.messages, message] });
  },

  /** The sign-in form where signing in helps, a button to try again everywhere else. */
  over(error, problem) {
    const signIn = error instanceof TicketError && error.reason === 'signed_out';
    if (signIn) im.signOut();
    this.show(signIn ? 'signed-out' : 'ended', problem);
  },

  show(state, problem = '') {
    this.setData({ state, status: STATUS[state], problem });
  },
});
