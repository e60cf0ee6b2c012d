// The folded scale: places from 0 to 1 for addresses, and back.

const PAGE = 4096;

const hex = (address) => `0x${address.toString(16)}`;

class Scale {
  constructor(pieces) {
    let at = 0;
    this.pieces = pieces.map(([start, end, width, gap]) => {
      const piece = { start, end, gap, from: at, to: at + width };
      at += width;
      return piece;
    });
    this.end = pieces.at(-1)[1];
  }

  place(address) {
    const piece = this.pieces.find(({ end }) => address < end);
    if (!piece) return 1;
    const share = (address - piece.start) / (piece.end - piece.start);
    return piece.from + Math.max(0, share) * (piece.to - piece.from);
  }

  address(place) {
    const piece = this.pieces.find(({ to }) => place < to) ?? this.pieces.at(-1);
    const share = Math.min(1, Math.max(0, (place - piece.from) / (piece.to - piece.from)));
    return Math.floor(piece.start + share * (piece.end - piece.start));
  }
}
