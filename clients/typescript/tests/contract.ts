/** As `roomcast generate typescript` writes it. */

export interface ChatSaid {
  text: string;
  urgent?: boolean;
}
export interface ChatEdited {
  position: string;
  text: string;
}
export interface ChatTypingSignal {
  on: boolean;
}
export interface ChatState {
  away: boolean;
}
export interface Contract {
  "chat:*": {
    messages: { said: ChatSaid; edited: ChatEdited };
    signals: { typing: ChatTypingSignal };
    state: ChatState;
    additional: true;
  };
  "chat:vip:*": {
    messages: { bid: { cents: number } };
    signals: {};
    state: unknown;
    additional: false;
  };
  "chat:lobby": {
    messages: { hello: { to: string } };
    signals: {};
    state: unknown;
    additional: false;
  };
}
export const contractVersion = 3;
