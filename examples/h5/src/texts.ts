// Every word on the page, in Chinese and English, and what to tell a person about each way that it can fail.
import { TicketError, isExpired } from './usersig.ts';

export type Language = 'zh' | 'en';

const TEXTS = {
  userLabel: { zh: '用户 ID', en: 'User ID' },
  signIn: { zh: '登录', en: 'Sign in' },
  signInHint: {
    zh: '示例后端不要求密码：字母、数字、_ 和 -，最多 32 个。',
    en: 'The sample back end asks for no password: letters, digits, _ and -, at most 32.',
  },
  signOut: { zh: '退出登录', en: 'Sign out' },
  again: { zh: '重试', en: 'Try again' },
  userIs: { zh: '当前用户', en: 'Signed in as' },
  renewed: { zh: '票据更新次数', en: 'Tickets renewed' },
  to: { zh: '发给', en: 'To' },
  message: { zh: '消息', en: 'Message' },
  send: { zh: '发送', en: 'Send' },
  loading: { zh: '加载中…', en: 'Loading…' },
  signedOut: { zh: '未登录', en: 'Not signed in' },
  connecting: { zh: '正在连接…', en: 'Connecting…' },
  online: { zh: '已连接', en: 'Online' },
  ended: { zh: '连接已结束', en: 'Disconnected' },
  language: { zh: 'English', en: '中文' },
} as const;

export type Text = keyof typeof TEXTS;

export function text(name: Text, language: Language): string {
  return TEXTS[name][language];
}

type Words = Record<Language, string>;

const SESSION_OVER: Words = { zh: '登录状态已失效，请重新登录。', en: 'Your session is over. Please sign in again.' };
const UNAVAILABLE: Words = { zh: '服务暂时不可用，请稍后重试。', en: 'The service is not available just now. Please try again.' };

/** By the `code` of the UserSig service's answers. */
const SERVICE: Record<string, Words> = {
  missing_credential: SESSION_OVER,
  invalid_session: SESSION_OVER,
  rate_limited: { zh: '请求太频繁，请稍后再试。', en: 'Too many requests. Please wait a moment.' },
  user_mismatch: {
    zh: '这个浏览器里已登录了另一个用户，请重新登录。',
    en: 'Someone else has signed in with this browser. Please sign in again.',
  },
  user_not_permitted: { zh: '该用户不能使用聊天。', en: 'This user may not use chat.' },
  unusable_user_id: { zh: '该用户的 ID 不能用于聊天，请联系支持人员。', en: 'This user\'s ID cannot be used for chat. Please contact support.' },
  origin_denied: {
    zh: '服务不接受来自本页面地址的请求：请把它加入 allowed_origins。',
    en: 'The service does not accept requests from this page\'s address: add it to allowed_origins.',
  },
  unknown_app: { zh: '服务中没有配置这个 SDKAppID。', en: 'The service has no such SDKAppID.' },
};

/** By the `code` of the SDK's errors. */
const CHAT: Record<number, Words> = {
  2025: { zh: '正在登录，请稍候。', en: 'A login is already under way.' },
  70003: { zh: '票据无法解析：它在传输中被改动了。', en: 'The ticket cannot be read: something changed it on its way.' },
  70005: { zh: '票据无法解析：它在传输中被改动了。', en: 'The ticket cannot be read: something changed it on its way.' },
  70009: { zh: '服务的密钥不属于这个应用，请联系支持人员。', en: 'The service\'s secret does not belong to this app. Please contact support.' },
  70013: { zh: '票据属于另一个用户，请重新登录。', en: 'The ticket is another user\'s. Please sign in again.' },
  70014: { zh: '票据属于另一个 SDKAppID，请联系支持人员。', en: 'The ticket is for another SDKAppID. Please contact support.' },
  70016: { zh: '找不到这个 SDKAppID 的密钥，请联系支持人员。', en: 'Tencent knows no key for this SDKAppID. Please contact support.' },
  70020: { zh: '找不到这个 SDKAppID，请联系支持人员。', en: 'Tencent knows no such SDKAppID. Please contact support.' },
  70050: { zh: '失败次数太多，请一分钟后再试。', en: 'Too many failures. Please wait a minute.' },
  70051: { zh: '该用户已被禁止登录。', en: 'This user is blocked.' },
  70114: { zh: '该用户已被禁止登录。', en: 'This user is blocked.' },
  60016: { zh: '该应用已停用，请联系支持人员。', en: 'This app is disabled. Please contact support.' },
  60020: { zh: '该应用已停用，请联系支持人员。', en: 'This app is disabled. Please contact support.' },
};
const EXPIRED: Words = {
  zh: '票据刚签发就被判定为过期：服务的时钟可能不准。',
  en: 'A new ticket was refused as expired: the service\'s clock may be wrong.',
};

const KICKED: Record<string, Words> = {
  multipleAccount: { zh: '此账号已在其他页面或设备登录。', en: 'This account has signed in on another page or device.' },
  multipleDevice: { zh: '此账号已在其他设备登录。', en: 'This account has signed in on another device.' },
  REST_API_Kick: { zh: '管理员已让此账号下线。', en: 'An administrator has signed this account out.' },
};

/** What a person should read about `error`, with the number that support will ask for. */
export function explain(error: unknown, language: Language): string {
  if (error instanceof TicketError) {
    const words = SERVICE[error.code] || (error.reason === 'unavailable' ? UNAVAILABLE : undefined);
    const trace = error.requestId && error.reason !== 'signed_out' ? ` (${error.code}, ${error.requestId})` : '';
    return (words ? words[language] : error.message) + trace;
  }
  const { code, message } = error as { code?: number; message?: string };
  if (!code) return message || String(error);
  const words = CHAT[code] || (isExpired(error) ? EXPIRED : undefined);
  return `${words ? words[language] : message || ''} (${code})`;
}

export function explainKick(kicked: string, language: Language): string {
  const words = KICKED[kicked] || EXPIRED;
  return words[language];
}
