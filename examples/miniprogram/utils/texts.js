// What a person reads when something fails, in Chinese or English.
const { TicketError } = require('./usersig.js');

const CHINESE = isChinese();

const SERVICE = {
  signed_out: ['登录状态已失效，请重新登录', 'Your session is over. Please sign in again.'],
  refused: ['该用户不能使用聊天', 'This user may not use chat.'],
  unavailable: ['服务暂时不可用，请稍后重试', 'The service is not available just now. Please try again.'],
};
const CHAT = {
  70009: ['服务的密钥不属于这个应用，请联系支持人员', "The service's secret does not belong to this app. Please contact support."],
  70013: ['票据属于另一个用户，请重新登录', "The ticket is another user's. Please sign in again."],
  70014: ['票据属于另一个 SDKAppID，请联系支持人员', 'The ticket is for another SDKAppID. Please contact support.'],
  70050: ['失败次数太多，请一分钟后再试', 'Too many failures. Please wait a minute.'],
};
const KICKED = {
  multipleAccount: ['此账号已在其他设备登录', 'This account has signed in on another device.'],
  multipleDevice: ['此账号已在其他设备登录', 'This account has signed in on another device.'],
  REST_API_Kick: ['管理员已让此账号下线', 'An administrator has signed this account out.'],
};

function explain(error) {
  if (error instanceof TicketError) {
    const words = SERVICE[error.reason];
    return words ? pick(words) : `${error.message} (${error.requestId})`;
  }
  const words = CHAT[error.code];
  return words ? `${pick(words)} (${error.code})` : error.message;
}

function explainEnd({ kicked, error }) {
  if (error) return explain(error);
  return KICKED[kicked] ? pick(KICKED[kicked]) : kicked;
}

function pick([chinese, english]) {
  return CHINESE ? chinese : english;
}

function isChinese() {
  const { language } = wx.getAppBaseInfo ? wx.getAppBaseInfo() : wx.getSystemInfoSync();
  return /^zh/i.test(language);
}

module.exports = { explain, explainEnd };
