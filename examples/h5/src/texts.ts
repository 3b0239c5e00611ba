// Every word on the page, in Chinese and English, and what to tell a person about each way that it can fail.
import { TicketError, isExpired, type Reason } from './usersig.ts';

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
const WRONG_CALL: Words = { zh: '页面向服务发出的请求有误，请联系支持人员。', en: 'The page asks the service wrongly. Please contact support.' };
const UNKNOWN: Words = { zh: '页面出错了。', en: 'Something went wrong on this page.' };

/** Where the code has no words of its own: an answer that is not the service's, or a newer service. */
const REASON: Record<Reason, Words> = {
  signed_out: SESSION_OVER,
  refused: { zh: '服务拒绝了这个请求，请联系支持人员。', en: 'The service refuses this request. Please contact support.' },
  unavailable: UNAVAILABLE,
  fault: { zh: '服务的回答无法使用，请联系支持人员。', en: 'The service\'s answer is of no use. Please contact support.' },
  cleared: { zh: '已取消。', en: 'Cancelled.' },
};

/** By the `code` of the UserSig service's answers. */
const SERVICE: Record<string, Words> = {
  missing_credential: SESSION_OVER,
  invalid_session: SESSION_OVER,
  rate_limited: { zh: '请求太频繁，请稍后再试。', en: 'Too many requests. Please wait a moment.' },
  session_check_unavailable: UNAVAILABLE,
  internal_error: UNAVAILABLE,
  user_mismatch: {
    zh: '这里已登录了另一个用户，请重新登录。',
    en: 'Someone else has signed in here. Please sign in again.',
  },
  user_not_permitted: { zh: '该用户不能使用聊天。', en: 'This user may not use chat.' },
  room_not_permitted: { zh: '该用户不能进入这个房间。', en: 'This user may not enter this room.' },
  unusable_user_id: { zh: '该用户的 ID 不能用于聊天，请联系支持人员。', en: 'This user\'s ID cannot be used for chat. Please contact support.' },
  origin_denied: {
    zh: '服务不接受来自本页面地址的请求：请把它加入 allowed_origins。',
    en: 'The service does not accept requests from this page\'s address: add it to allowed_origins.',
  },
  unknown_app: { zh: '服务中没有配置这个 SDKAppID。', en: 'The service has no such SDKAppID.' },
  invalid_request: WRONG_CALL,
  not_found: WRONG_CALL,
  method_not_allowed: WRONG_CALL,
  request_timeout: WRONG_CALL,
  payload_too_large: WRONG_CALL,
  unsupported_media_type: WRONG_CALL,
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
  70169: { zh: '腾讯云暂时出错，请稍后重试。', en: 'Tencent has a fault just now. Please try again.' },
  70500: { zh: '腾讯云暂时出错，请稍后重试。', en: 'Tencent has a fault just now. Please try again.' },
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
  userSigExpired: EXPIRED,
  REST_API_Kick: { zh: '管理员已让此账号下线。', en: 'An administrator has signed this account out.' },
};

const SIGNED_OUT: Words = { zh: '此账号已被下线。', en: 'This account has been signed out.' };

/** What a person should read about `error`, with the number that support will ask for. */
export function explain(error: unknown, language: Language): string {
  if (error instanceof TicketError) {
    const words = SERVICE[error.code] || REASON[error.reason];
    const trace = [error.code || error.status, error.requestId].filter(Boolean).join(', ');
    return words[language] + (trace && error.reason !== 'signed_out' ? ` (${trace})` : '');
  }
  // A page's error event may come with its text alone, or with nothing.
  const { code, message } = Object(typeof error === 'string' ? new Error(error) : error) as { code?: number; message?: string };
  const words = code ? CHAT[code] || (isExpired(error) ? EXPIRED : undefined) : undefined;
  return (words ? words[language] : message || UNKNOWN[language]) + (code ? ` (${code})` : '');
}

export function explainKick(kicked: string, language: Language): string {
  const words = KICKED[kicked];
  return words ? words[language] : `${SIGNED_OUT[language]} (${kicked})`;
}
