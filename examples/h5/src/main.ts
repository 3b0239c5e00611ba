// The page: sign in at the back end, fetch a UserSig, log in to chat, send and show text messages, log out.
import TencentCloudChat from '@tencentcloud/chat';
import { readConfig } from './config.ts';
import { createSession } from './session.ts';
import { explain, explainKick, text, type Language, type Text } from './texts.ts';
import { TicketError, createTickets, isExpired, withLogin, type Ended, type Login } from './usersig.ts';

type State = 'loading' | 'signed-out' | 'connecting' | 'online' | 'ended';

const STATUS: Record<State, Text> = {
  'loading': 'loading',
  'signed-out': 'signedOut',
  'connecting': 'connecting',
  'online': 'online',
  'ended': 'ended',
};

const element = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E;
const statusLine = element('status');
const problemLine = element('problem');
const signInForm = element<HTMLFormElement>('sign-in');
const userInput = element<HTMLInputElement>('user');
const chatSection = element('chat');
const composeForm = element<HTMLFormElement>('compose');
const peerInput = element<HTMLInputElement>('peer');
const textInput = element<HTMLInputElement>('text');
const messageList = element('messages');
const againButton = element<HTMLButtonElement>('again');
const signOutButton = element<HTMLButtonElement>('sign-out');

let language: Language = navigator.language.startsWith('zh') ? 'zh' : 'en';
let state: State = 'loading';
/** Said again when the language changes. */
let problem: ((language: Language) => string) | undefined;
let renewals = 0;
let chat: ReturnType<typeof TencentCloudChat.create> | undefined;
let login: Login | undefined;
/** A message that an expired ticket held up. */
let unsent: { to: string; content: string } | undefined;

// The page's own errors are the person's to see too, not only the console's.
window.addEventListener('error', (event) => fail(event.error || event.message));
window.addEventListener('unhandledrejection', ({ reason }) => {
  // The SDK leaves refusals of its own requests unhandled; an expired ticket is being renewed.
  if (!isExpired(reason)) fail(reason);
});
element('language').addEventListener('click', () => {
  language = language === 'zh' ? 'en' : 'zh';
  render();
});
render();

const config = await readConfig();
const session = createSession(config);
const tickets = createTickets({
  service: config.service,
  credential: config.credential === 'bearer' ? { bearer: () => session.token } : 'cookie',
});

signInForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  show('connecting');
  try {
    await session.start(userInput.value);
  } catch (error) {
    show('signed-out', (language) => explain(error, language));
    return;
  }
  await enter();
});
signOutButton.addEventListener('click', signOut);
againButton.addEventListener('click', () => enter());
composeForm.addEventListener('submit', (event) => {
  event.preventDefault();
  void send(peerInput.value, textInput.value);
});

// A visitor who has a session goes straight in; one without is told nothing but to sign in.
await enter({ firstVisit: true });

async function enter({ firstVisit = false } = {}): Promise<void> {
  show('connecting');
  // Still in its field, for the person to send or not.
  unsent = undefined;
  try {
    // The app's id comes with the ticket: the page needs none of its own, and the two cannot disagree.
    // A new one even at a second try: the remembered one may be why the first failed, as after a change of the app's secret.
    const { sdkAppId } = await tickets.renew();
    chat ||= createChat(sdkAppId);
    const ready = whenReady(chat);
    login = await withLogin(chat, tickets, { onRenewed: renewed, onEnded: ended });
    await ready;
    show('online');
    textInput.focus();
  } catch (error) {
    if (firstVisit && error instanceof TicketError && error.code === 'missing_credential') show('signed-out');
    else over(error, (language) => explain(error, language));
  }
}

function createChat(sdkAppId: number): ReturnType<typeof TencentCloudChat.create> {
  const created = TencentCloudChat.create({ SDKAppID: sdkAppId, ...(config.gateway && { proxyServer: config.gateway }) });
  created.setLogLevel(2);
  created.on(TencentCloudChat.EVENT.MESSAGE_RECEIVED, ({ data }: { data: Message[] }) => data.forEach(append));
  return created;
}

interface Message {
  ID: string;
  from: string;
  payload: { text?: string };
}

function whenReady(created: NonNullable<typeof chat>): Promise<void> {
  if (created.isReady()) return Promise.resolve();
  return new Promise((resolve) => {
    const ready = () => {
      created.off(TencentCloudChat.EVENT.SDK_READY, ready);
      resolve();
    };
    created.on(TencentCloudChat.EVENT.SDK_READY, ready);
  });
}

/** Quietly: a person need not know that tickets expire, and the message that ran into it goes out now. */
async function renewed(): Promise<void> {
  renewals += 1;
  render();
  const held = unsent;
  unsent = undefined;
  if (!held || !chat) return;
  await whenReady(chat);
  await send(held.to, held.content);
}

function ended({ kicked, error }: Ended): void {
  over(error, (language) => (error ? explain(error, language) : explainKick(kicked, language)));
}

/** The sign-in page where signing in helps, a button to try again everywhere else. */
function over(error: unknown, told: (language: Language) => string): void {
  const signIn = error instanceof TicketError && (error.reason === 'signed_out' || error.code === 'user_mismatch');
  if (signIn) void leave();
  show(signIn ? 'signed-out' : 'ended', told);
  (signIn ? userInput : againButton).focus();
}

async function signOut(): Promise<void> {
  try {
    await leave();
    await session.end();
    show('signed-out');
    userInput.focus();
  } catch (error) {
    fail(error);
  }
}

/** Forgets this user: the next one gets an SDK, tickets and a list of messages of their own. */
async function leave(): Promise<void> {
  tickets.clear();
  const [left, used] = [login, chat];
  login = chat = unsent = undefined;
  renewals = 0;
  messageList.replaceChildren();
  await left?.logout();
  // It logs out once more, and rejects because nobody is logged in.
  await used?.destroy().catch(() => undefined);
}

async function send(to: string, content: string): Promise<void> {
  if (!chat || !login) return;
  const message = chat.createTextMessage({
    to,
    conversationType: TencentCloudChat.TYPES.CONV_C2C,
    payload: { text: content },
  });
  try {
    const { data } = await chat.sendMessage(message);
    append(data.message);
    textInput.value = '';
    problem = undefined;
    render();
  } catch (error) {
    // The text stays in its field.
    if (isExpired(error)) unsent = { to, content };
    else fail(error);
  }
  textInput.focus();
}

function append({ ID, from, payload }: Message): void {
  const item = document.createElement('li');
  item.dataset['id'] = ID;
  item.classList.toggle('mine', from === login?.ticket.userId);
  const author = document.createElement('b');
  author.textContent = from;
  const words = document.createElement('span');
  words.textContent = payload.text ?? '…';
  item.append(author, words);
  messageList.append(item);
  item.scrollIntoView({ block: 'nearest' });
}

function fail(error: unknown): void {
  problem = (language) => explain(error, language);
  render();
}

function show(next: State, told?: (language: Language) => string): void {
  state = next;
  problem = told;
  render();
}

function render(): void {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const labelled of document.querySelectorAll<HTMLElement>('[data-text]')) {
    labelled.textContent = text(labelled.dataset['text'] as Text, language);
  }
  element('language').textContent = text('language', language);
  document.body.dataset['state'] = state;
  statusLine.textContent = text(STATUS[state], language);
  problemLine.textContent = problem ? problem(language) : '';
  signInForm.hidden = state !== 'signed-out';
  chatSection.hidden = state !== 'online';
  againButton.hidden = state !== 'ended';
  signOutButton.hidden = state !== 'online' && state !== 'ended';
  element('me').textContent = login ? login.ticket.userId : '';
  element('app').textContent = login ? String(login.ticket.sdkAppId) : '';
  element('renewed').textContent = String(renewals);
}
